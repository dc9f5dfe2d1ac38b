-- What must be true of the demo's CRM and of its factories' ERPs when everything has arrived, in business terms.
-- replicator/demo/verify.py asks both sides and compares the answers: it knows nothing of links, keys or the crosswalk.
--
-- A statement begins with its name and what it says in words. The CRM is asked once for each factory ($1 is its code), the
-- factory's ERP answers in the CRM's words. The first column tells what the row is about: the columns after it are compared.
-- Under "all" the answers of all factories are added up instead, and compared with the CRM's one answer.

-- statement: customers
-- every customer of the CRM is a party of the factory, with the same particulars, and the other way round
-- crm:
select coalesce(a.vat_number, a.name), a.name, a.kind, a.status, coalesce(h.vat_number, h.name) as head_office,
       nullif(a.phone, '') as phone, nullif(a.email, '') as email, nullif(a.website, '') as website
from crm.account a left join crm.account h on h.id = a.parent_id
where a.deleted_at is null and a.kind <> 'prospect'
-- erp:
select coalesce(p.tax_id, p.name), p.name, case p.role when 'D' then 'dealer' else 'customer' end,
       case p.state when 'A' then 'active' else 'dormant' end, coalesce(h.tax_id, h.name),
       (select m.value from erp.contact_mechanism m where m.party_no = p.party_no and m.kind = 'phone'),
       (select m.value from erp.contact_mechanism m where m.party_no = p.party_no and m.kind = 'mail'),
       (select m.value from erp.contact_mechanism m where m.party_no = p.party_no and m.kind = 'web')
from erp.party p left join erp.party h on h.party_no = p.head_office
where p.closed_on is null

-- statement: addresses
-- goods and invoices go to the same places
-- crm:
select coalesce(a.vat_number, a.name), d.kind, d.street, d.zip, d.city, d.country_code, d.instructions
from crm.address d join crm.account a on a.id = d.account_id
where a.deleted_at is null and a.kind <> 'prospect'
-- erp:
select coalesce(p.tax_id, p.name), case d.usage when 'S' then 'shipping' else 'billing' end, d.street, d.postal_code, d.town,
       c.iso2, nullif(d.remark, '')
from erp.party_address d join erp.party p using (party_no) join erp.country c on c.id = d.country_id
where p.closed_on is null

-- statement: contacts
-- the same people, and the same consent to marketing
-- crm:
select coalesce(a.vat_number, a.name), c.first_name, c.last_name, c.email, c.phone, c.job_title, c.opted_in
from crm.contact c join crm.account a on a.id = c.account_id
where c.deleted_at is null and a.deleted_at is null and a.kind <> 'prospect'
-- erp:
select coalesce(p.tax_id, p.name), c.given_name, c.family_name, nullif(c.mail, ''), nullif(c.tel, ''), c.function, c.newsletter
from erp.contact_person c join erp.party p using (party_no)
where p.closed_on is null

-- statement: credit
-- sales sees what the factory's finance grants, and the customer's number there
-- crm:
select coalesce(a.vat_number, a.name), t.customer_no, t.credit_limit, t.payment_terms, t.blocked
from crm.account_terms t join crm.account a on a.id = t.account_id
where t.factory = $1 and a.deleted_at is null
-- erp:
select coalesce(p.tax_id, p.name), cast(p.party_no as text), c.credit_limit, t.code, c.blocked
from erp.credit c join erp.party p using (party_no) left join erp.payment_term t on t.id = c.payment_term_id
where p.closed_on is null

-- statement: products
-- what the factory is to make it knows, and what it makes the CRM knows; one version of both
-- crm:
select p.sku, p.name, p.family, p.unit, p.list_price, p.active, p.spare_part, p.weight_kg
from crm.product p
where $1 = any (p.made_in) or exists (select from crm.product_site s where s.product_id = p.id and s.factory = $1)
-- erp:
select code, description, item_group, uom, sales_price, status < 9, spare, cast(weight as numeric(10,3)) from erp.item

-- statement: cost and lead time
-- the CRM knows each product's number, standard cost and stock in the factory
-- crm:
select p.sku, s.item_no, s.standard_cost, s.lead_days, s.on_hand, s.available
from crm.product_site s join crm.product p on p.id = s.product_id where s.factory = $1
-- erp:
select i.code, cast(i.item_no as text), i.standard_cost, i.lead_days,
       coalesce(cast(sum(s.on_hand) as numeric), 0), coalesce(cast(sum(s.on_hand - s.reserved) as numeric), 0)
from erp.item i left join erp.stock s using (item_no) group by i.item_no

-- statement: parts lists
-- what a product is made of
-- crm:
select p.sku, c.sku as component, l.quantity
from crm.product_component l join crm.product p on p.id = l.product_id join crm.product c on c.id = l.component_id
where l.factory = $1
-- erp:
select i.code, c.code, cast(l.qty as numeric)
from erp.bom_line l join erp.item i using (item_no) join erp.item c on c.item_no = l.component_no

-- statement: stock
-- what lies in each warehouse
-- crm:
select p.sku, s.warehouse, s.on_hand, s.reserved
from crm.stock s join crm.product p on p.id = s.product_id where s.factory = $1
-- erp:
select i.code, cast(s.warehouse as text), cast(s.on_hand as numeric), cast(s.reserved as numeric)
from erp.stock s join erp.item i using (item_no)

-- statement: stock in all
-- the sum over all warehouses of all factories is what sales sees
-- crm:
select p.sku, t.on_hand, t.available, t.warehouses from crm.stock_total t join crm.product p on p.id = t.product_id
-- all:
select i.code, cast(sum(s.on_hand) as numeric), cast(sum(s.on_hand - s.reserved) as numeric), count(*)
from erp.stock s join erp.item i using (item_no) group by i.code

-- statement: packaging
-- production packs as was agreed with the customer
-- crm:
select coalesce(a.vat_number, a.name), p.sku, c.packaging, c.colour, c.label
from crm.product_configuration c join crm.account a on a.id = c.account_id join crm.product p on p.id = c.product_id
where a.deleted_at is null and a.kind <> 'prospect'
  and exists (select from crm.product_site s where s.product_id = p.id and s.factory = $1)
-- erp:
select coalesce(p.tax_id, p.name), i.code, g.code, c.colour, c.label
from erp.item_configuration c
join erp.party p using (party_no) join erp.item i using (item_no) join erp.packaging g on g.id = c.packaging_id
where p.closed_on is null

-- statement: prices
-- one price list
-- crm:
select p.sku, coalesce(a.vat_number, a.name) as customer, b.price, b.currency, b.valid_from
from crm.price_book b join crm.product p on p.id = b.product_id left join crm.account a on a.id = b.account_id
where a.deleted_at is null and a.kind is distinct from 'prospect'
  and exists (select from crm.product_site s where s.product_id = p.id and s.factory = $1)
-- erp:
select i.code, coalesce(p.tax_id, p.name), b.price, b.currency, b.valid_from
from erp.item_price b join erp.item i using (item_no) left join erp.party p using (party_no)
where p.closed_on is null

-- statement: what was ordered
-- a confirmed quote is one order in each factory that makes a line of it, line by line as confirmed; no other order is
-- crm:
select cast(q.id as text), coalesce(a.vat_number, a.name) as customer, l.position, p.sku, l.quantity, l.unit_price,
       l.discount_percent / 100 as discount
from crm.quote_line l
join crm.quote q on q.id = l.quote_id join crm.account a on a.id = q.account_id join crm.product p on p.id = l.product_id
where q.stage = 'confirmed' and l.factory = $1
-- erp:
select o.external_ref, coalesce(p.tax_id, p.name), l.line_no, i.code, cast(l.qty as numeric), l.price, l.rebate
from erp.sales_order_line l join erp.sales_order o using (order_id)
join erp.party p using (party_no) join erp.item i using (item_no)
where o.external_ref is not null

-- statement: orders
-- "where is my order?" has one answer, for those that began as a quote and for those that did not
-- crm:
select o.order_no, coalesce(a.vat_number, a.name) as customer, cast(o.quote_id as text) as quote, o.subject, o.status, o.ordered_on,
       o.promised_on, o.net_amount, o.currency
from crm.sales_order o join crm.account a on a.id = o.account_id where o.factory = $1
-- erp:
select o.order_no, coalesce(p.tax_id, p.name), o.external_ref, o.subject,
       case o.state when 10 then 'ordered' when 15 then 'produced' when 20 then 'shipped' when 30 then 'invoiced' else 'cancelled' end,
       o.ordered_on, o.promised_on, o.net_amount, o.currency
from erp.sales_order o join erp.party p using (party_no)

-- statement: deliveries
-- what is under way, and since when
-- crm:
select d.delivery_no, o.order_no, d.shipped_on, d.delivered_on, d.carrier, d.tracking
from crm.delivery d join crm.sales_order o on o.id = d.sales_order_id where o.factory = $1
-- erp:
select d.delivery_no, o.order_no, d.shipped_on, d.delivered_on, d.carrier, d.tracking
from erp.delivery d join erp.sales_order o using (order_id)

-- statement: invoices
-- what is owed, and what is paid
-- crm:
select i.invoice_no, o.order_no, i.due_on, i.net_amount, i.gross_amount, i.paid_on
from crm.invoice i join crm.sales_order o on o.id = i.sales_order_id where o.factory = $1
-- erp:
select i.invoice_no, o.order_no, i.due_on, i.net, i.gross, i.paid_on
from erp.invoice i join erp.sales_order o using (order_id)

-- statement: cost of orders
-- what an order earned, from what its batches really cost
-- crm:
select o.order_no, c.revenue, c.standard_cost, c.actual_cost, c.margin
from crm.order_cost c join crm.sales_order o on o.id = c.sales_order_id where o.factory = $1
-- erp:
with line as (
    select l.order_id, round(cast(l.qty as numeric) * i.standard_cost, 2) as planned,
           (select sum(b.actual_cost) from erp.batch b where b.line_id = l.line_id) as made
    from erp.sales_order_line l join erp.item i using (item_no)),
spent as (
    select o.order_id, coalesce(sum(l.planned), 0) as planned, coalesce(sum(coalesce(l.made, l.planned)), 0)
        + coalesce((select sum(c.cost) from erp.complaint c where c.order_id = o.order_id), 0) as actual
    from erp.sales_order o left join line l using (order_id) group by o.order_id)
select o.order_no, o.net_amount, s.planned, s.actual, o.net_amount - s.actual
from erp.sales_order o join spent s using (order_id) where o.state <> 90

-- statement: profit of customers
-- what a customer is worth to the factory
-- crm:
select coalesce(a.vat_number, a.name), c.orders, c.revenue, c.actual_cost, c.margin
from crm.customer_profit c join crm.account a on a.id = c.account_id where c.factory = $1
-- erp:
with sold as (
    select o.party_no, o.order_id, o.net_amount,
           (select sum(coalesce((select sum(b.actual_cost) from erp.batch b where b.line_id = l.line_id),
                                round(cast(l.qty as numeric) * i.standard_cost, 2)))
            from erp.sales_order_line l join erp.item i using (item_no) where l.order_id = o.order_id) as cost
    from erp.sales_order o where o.state <> 90),
spent as (
    select s.party_no, count(*) as orders, sum(s.net_amount) as revenue, coalesce(sum(s.cost), 0)
        + coalesce((select sum(c.cost) from erp.complaint c where c.party_no = s.party_no), 0)
        + coalesce((select sum(v.parts_cost + v.labour_cost) from erp.service_order v
                    where v.party_no = s.party_no and v.under_warranty), 0) as cost
    from sold s group by s.party_no)
select coalesce(p.tax_id, p.name), s.orders, s.revenue, s.cost, s.revenue - s.cost from spent s join erp.party p using (party_no)

-- statement: punctuality
-- how many deliveries came as promised
-- crm:
select coalesce(a.vat_number, a.name), d.deliveries, d.on_time
from crm.delivery_performance d join crm.account a on a.id = d.account_id where d.factory = $1
-- erp:
select coalesce(p.tax_id, p.name), count(*), sum(case when d.delivered_on <= o.promised_on then 1 else 0 end)
from erp.delivery d join erp.sales_order o using (order_id) join erp.party p using (party_no)
where d.delivered_on is not null and o.promised_on is not null group by p.party_no

-- statement: warranties
-- what stands at customers, and when to call them
-- crm:
select i.serial_no, coalesce(a.vat_number, a.name) as customer, p.sku, i.sold_on, i.warranty_ends_on, i.call_on
from crm.installed_product i join crm.account a on a.id = i.account_id join crm.product p on p.id = i.product_id
where i.factory = $1
-- erp:
select w.serial_no, coalesce(p.tax_id, p.name), i.code, w.sold_on, w.ends_on, cast(w.ends_on - interval '3 months' as date)
from erp.warranty w join erp.party p using (party_no) join erp.item i using (item_no)

-- statement: complaints
-- a complaint and the factory's answer are one file
-- crm:
select c.complaint_no, coalesce(a.vat_number, a.name) as customer, p.sku, o.order_no, c.defect, c.quantity, t.status, c.batch_no,
       c.quality_result, c.resolution, c.cost
from crm.complaint c join crm.ticket t using (id) join crm.account a on a.id = t.account_id
join crm.product p on p.id = t.product_id left join crm.sales_order o on o.id = c.sales_order_id
where coalesce(o.factory, t.factory) = $1
-- erp:
select c.complaint_no, coalesce(p.tax_id, p.name), i.code, o.order_no,
       case c.defect when 'D' then 'damaged' when 'W' then 'wrong' when 'Q' then 'quality' when 'L' then 'late' else 'other' end,
       cast(c.qty as numeric), case c.state when 1 then 'open' when 2 then 'waiting' when 3 then 'solved' else 'closed' end, c.batch_no,
       (select q.result from erp.quality_record q where q.batch_no = c.batch_no order by q.record_no desc limit 1),
       c.resolution, c.cost
from erp.complaint c join erp.party p using (party_no) join erp.item i using (item_no) left join erp.sales_order o using (order_id)

-- statement: service
-- so are a service request and what the factory did
-- crm:
select r.service_no, coalesce(a.vat_number, a.name) as customer, p.sku, r.serial_no, t.subject, t.status, r.visit_on, r.technician,
       r.under_warranty, r.parts_cost, r.labour_cost
from crm.service_request r join crm.ticket t using (id) join crm.account a on a.id = t.account_id
join crm.product p on p.id = t.product_id
where coalesce(t.factory, (select i.factory from crm.installed_product i where i.serial_no = r.serial_no)) = $1
-- erp:
select v.service_no, coalesce(p.tax_id, p.name), i.code, v.serial_no, v.subject,
       case v.state when 1 then 'open' when 2 then 'waiting' when 3 then 'solved' else 'closed' end, v.visit_on, v.technician,
       v.under_warranty, v.parts_cost, v.labour_cost
from erp.service_order v join erp.party p using (party_no) join erp.item i using (item_no)

-- statement: spare parts
-- which parts were used, and what they cost
-- crm:
select r.service_no, p.sku, s.quantity, s.unit_cost
from crm.service_part s join crm.service_request r on r.id = s.service_request_id join crm.ticket t on t.id = r.id
join crm.product p on p.id = s.product_id
where coalesce(t.factory, (select i.factory from crm.installed_product i where i.serial_no = r.serial_no)) = $1
-- erp:
select s.service_no, i.code, cast(s.qty as numeric), s.unit_cost from erp.service_part s join erp.item i using (item_no)
