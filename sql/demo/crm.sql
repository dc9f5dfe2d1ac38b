-- The demo's CRM, as its vendor drew it: generated uuid keys, timestamptz, texts without lengths, jsonb for what varies,
-- rows that are marked as deleted instead of being deleted. Run once on an empty database.
--
-- Tables under "from the ERPs" are filled by the replicator; people look at them. The rest is typed in here.

create schema crm;

-- Plants, each with an ERP of its own. An order line, a ticket and a product say by code which of them is meant.
create table crm.factory (
    code    text primary key,
    name    text not null,
    region  text
);

-- Companies ----------------------------------------------------------------------------------------------------------

create table crm.account (
    id              uuid primary key default gen_random_uuid(),
    name            text not null,
    kind            text not null default 'customer' check (kind in ('prospect', 'customer', 'dealer')),
    vat_number      text unique,
    status          text not null default 'active' check (status in ('active', 'dormant')),
    parent_id       uuid references crm.account,      -- the group's head office
    segment         text not null default 'standard' check (segment in ('key', 'standard', 'small')),
    industry        text,
    phone           text,
    email           text,
    website         text,
    account_manager text,
    preferences     jsonb not null default '{}',
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    deleted_at      timestamptz
);
create index on crm.account (parent_id);

create table crm.address (
    id            uuid primary key default gen_random_uuid(),
    account_id    uuid not null references crm.account,
    kind          text not null check (kind in ('billing', 'shipping')),
    street        text not null,
    zip           text not null,
    city          text not null,
    country_code  char(2) not null,
    instructions  text,                               -- 'ring at gate 3'
    created_at    timestamptz not null default now()
);
create index on crm.address (account_id);

create table crm.contact (
    id          uuid primary key default gen_random_uuid(),
    account_id  uuid not null references crm.account,
    first_name  text,
    last_name   text not null,
    email       text,
    phone       text,
    job_title   text,
    is_primary  boolean not null default false,
    opted_in    boolean not null default false,       -- consent to marketing: recorded here and nowhere else
    created_at  timestamptz not null default now(),
    deleted_at  timestamptz
);
create index on crm.contact (account_id);

create table crm.activity (
    id           uuid primary key default gen_random_uuid(),
    account_id   uuid not null references crm.account,
    contact_id   uuid references crm.contact,
    kind         text not null check (kind in ('call', 'mail', 'visit', 'note')),
    subject      text not null,
    body         text,
    happened_at  timestamptz not null default now()
);
create index on crm.activity (account_id);

create table crm.opportunity (
    id           uuid primary key default gen_random_uuid(),
    account_id   uuid not null references crm.account,
    name         text not null,
    stage        text not null default 'open' check (stage in ('open', 'won', 'lost')),
    amount       numeric(12,2),
    probability  integer check (probability between 0 and 100),
    close_on     date
);

-- Products -----------------------------------------------------------------------------------------------------------

create table crm.product (
    id          uuid primary key default gen_random_uuid(),
    sku         text not null unique,
    name        text not null,
    family      text,
    unit        text not null default 'PCE',
    list_price  numeric(12,2) not null default 0,
    weight_kg   numeric(10,3),
    active      boolean not null default true,
    spare_part  boolean not null default false,
    made_in     text[] not null default '{}',         -- codes of the factories that are to make it
    brochure    jsonb not null default '{}',          -- texts and pictures for the shop
    created_at  timestamptz not null default now()
);

-- What was agreed with one customer about one product.
create table crm.product_configuration (
    id          uuid primary key default gen_random_uuid(),
    account_id  uuid not null references crm.account,
    product_id  uuid not null references crm.product,
    packaging   text not null check (packaging in ('carton', 'crate', 'pallet', 'bulk')),
    colour      text,
    label       text,
    agreed_on   date not null default current_date,
    agreed_by   text,
    unique (account_id, product_id)
);
create index on crm.product_configuration (product_id);

create table crm.price_book (
    id          uuid primary key default gen_random_uuid(),
    product_id  uuid not null references crm.product,
    account_id  uuid references crm.account,          -- empty: for everybody
    price       numeric(12,2) not null check (price >= 0),
    currency    char(3) not null default 'EUR',
    valid_from  date not null default current_date,
    unique nulls not distinct (product_id, account_id, valid_from)
);
create index on crm.price_book (account_id);

-- Campaigns ----------------------------------------------------------------------------------------------------------

create table crm.campaign (
    id         uuid primary key default gen_random_uuid(),
    name       text not null,
    starts_on  date not null,
    ends_on    date,
    budget     numeric(12,2)
);

create table crm.campaign_member (
    campaign_id  uuid not null references crm.campaign,
    account_id   uuid not null references crm.account,
    response     text not null default 'none' check (response in ('none', 'interested', 'ordered', 'declined')),
    primary key (campaign_id, account_id)
);

-- Quotes: dozens of rounds, and only what is confirmed in the end concerns a factory ------------------------------------

create sequence crm.quote_number;

create table crm.quote (
    id              uuid primary key default gen_random_uuid(),
    number          text not null unique default 'Q' || to_char(nextval('crm.quote_number'), 'FM000000'),
    account_id      uuid not null references crm.account,
    contact_id      uuid references crm.contact,
    opportunity_id  uuid references crm.opportunity,
    title           text not null,
    stage           text not null default 'draft' check (stage in ('draft', 'negotiation', 'confirmed', 'rejected')),
    revision        integer not null default 1,
    currency        char(3) not null default 'EUR',
    wanted_on       date,
    note            text,
    confirmed_at    timestamptz,
    cancelled_at    timestamptz,                      -- the customer wants to step back; the factory says whether it is not too late
    created_at      timestamptz not null default now(),
    check (stage <> 'confirmed' or confirmed_at is not null)
);
create index on crm.quote (account_id);

create table crm.quote_line (
    id                uuid primary key default gen_random_uuid(),
    quote_id          uuid not null references crm.quote,
    position          integer not null,
    product_id        uuid not null references crm.product,
    configuration_id  uuid references crm.product_configuration,
    factory           text references crm.factory,    -- who makes it: settled when the quote is confirmed
    quantity          numeric(10,2) not null check (quantity > 0),
    unit_price        numeric(12,2) not null,
    discount_percent  numeric(5,2) not null default 0 check (discount_percent between 0 and 100),
    unique (quote_id, position)
);
create index on crm.quote_line (product_id);

-- One row a round: what was offered, and why it changed.
create table crm.quote_revision (
    quote_id   uuid not null references crm.quote,
    revision   integer not null,
    offered    jsonb not null,
    reason     text,
    noted_at   timestamptz not null default now(),
    primary key (quote_id, revision)
);

-- Tickets: complaints and service requests share what every ticket has ---------------------------------------------------

create sequence crm.ticket_number;

create table crm.ticket (
    id           uuid primary key default gen_random_uuid(),
    number       text not null unique default 'T' || to_char(nextval('crm.ticket_number'), 'FM000000'),
    account_id   uuid not null references crm.account,
    contact_id   uuid references crm.contact,
    product_id   uuid not null references crm.product,
    factory      text references crm.factory,         -- whose product it is; empty: its order or serial number tells
    subject      text not null,
    description  text,
    status       text not null default 'open' check (status in ('open', 'waiting', 'solved', 'closed')),
    priority     integer not null default 3 check (priority between 1 and 5),
    opened_at    timestamptz not null default now(),
    closed_at    timestamptz
);
create index on crm.ticket (account_id);

-- From the ERPs: orders, money, stock -----------------------------------------------------------------------------------

-- What each factory's finance grants a customer. Sales looks, finance decides.
create table crm.account_terms (
    id             uuid primary key default gen_random_uuid(),
    account_id     uuid not null references crm.account,
    factory        text not null,
    customer_no    text not null,                     -- what the customer is called there
    credit_limit   numeric(12,2) not null,
    payment_terms  text,
    blocked        boolean not null default false,
    unique (account_id, factory)
);

create table crm.product_site (
    id             uuid primary key default gen_random_uuid(),
    product_id     uuid not null references crm.product,
    factory        text not null,
    item_no        text not null,
    standard_cost  numeric(12,4),
    lead_days      integer,
    on_hand        numeric(14,3) not null default 0,  -- in all of the factory's warehouses
    available      numeric(14,3) not null default 0,
    unique (product_id, factory)
);

create table crm.stock (
    id          uuid primary key default gen_random_uuid(),
    product_id  uuid not null references crm.product,
    factory     text not null,
    warehouse   text not null,
    on_hand     numeric(14,3) not null,
    reserved    numeric(14,3) not null,
    unique (product_id, factory, warehouse)
);

create view crm.stock_total as
    select product_id, sum(on_hand) as on_hand, sum(on_hand - reserved) as available, count(*) as warehouses
    from crm.stock group by product_id;

create table crm.product_component (
    id            uuid primary key default gen_random_uuid(),
    product_id    uuid not null references crm.product,
    component_id  uuid not null references crm.product,
    factory       text not null,
    quantity      numeric(12,4) not null
);
create index on crm.product_component (product_id);

-- The order history of all factories: those that began as a quote here, and those that were keyed there.
create table crm.sales_order (
    id              uuid primary key default gen_random_uuid(),
    account_id      uuid not null references crm.account,
    quote_id        uuid references crm.quote,
    factory         text not null,
    order_no        text not null,
    subject         text,
    status          text not null check (status in ('ordered', 'produced', 'shipped', 'invoiced', 'cancelled')),
    ordered_on      date not null,
    promised_on     date,
    net_amount      numeric(14,2) not null,
    currency        char(3) not null,
    unique (factory, order_no)
);
create index on crm.sales_order (account_id);
create index on crm.sales_order (quote_id);

create table crm.delivery (
    id              uuid primary key default gen_random_uuid(),
    sales_order_id  uuid not null references crm.sales_order,
    delivery_no     text not null,
    shipped_on      date not null,
    delivered_on    date,
    carrier         text,
    tracking        text
);
create index on crm.delivery (sales_order_id);

create table crm.invoice (
    id              uuid primary key default gen_random_uuid(),
    sales_order_id  uuid not null references crm.sales_order,
    invoice_no      text not null,
    invoiced_on     date not null,
    due_on          date not null,
    net_amount      numeric(14,2) not null,
    gross_amount    numeric(14,2) not null,
    paid_on         date
);
create index on crm.invoice (sales_order_id);

-- What an order has really cost: its batches, and the service that it needed.
create table crm.order_cost (
    id              uuid primary key default gen_random_uuid(),
    sales_order_id  uuid not null unique references crm.sales_order,
    revenue         numeric(14,2) not null,
    standard_cost   numeric(14,2) not null,
    actual_cost     numeric(14,2) not null,
    margin          numeric(14,2) not null
);

create table crm.customer_profit (
    id           uuid primary key default gen_random_uuid(),
    account_id   uuid not null references crm.account,
    factory      text not null,
    orders       integer not null,
    revenue      numeric(14,2) not null,
    actual_cost  numeric(14,2) not null,
    margin       numeric(14,2) not null,
    unique (account_id, factory)
);

create table crm.product_profit (
    id           uuid primary key default gen_random_uuid(),
    product_id   uuid not null references crm.product,
    factory      text not null,
    sold         numeric(14,3) not null,
    revenue      numeric(14,2) not null,
    actual_cost  numeric(14,2) not null,
    margin       numeric(14,2) not null,
    unique (product_id, factory)
);

create table crm.delivery_performance (
    id          uuid primary key default gen_random_uuid(),
    account_id  uuid not null references crm.account,
    factory     text not null,
    deliveries  integer not null,
    on_time     integer not null,
    unique (account_id, factory)
);

-- What a campaign goes by.
create view crm.campaign_facts as
    select m.campaign_id, m.account_id, a.name, m.response, p.revenue, p.margin, d.deliveries, d.on_time
    from crm.campaign_member m
    join crm.account a on a.id = m.account_id
    left join (select account_id, sum(revenue) as revenue, sum(margin) as margin from crm.customer_profit group by 1) p
        on p.account_id = m.account_id
    left join (select account_id, sum(deliveries) as deliveries, sum(on_time) as on_time from crm.delivery_performance group by 1) d
        on d.account_id = m.account_id;

-- What stands at customers, and when to call them: three months before the warranty ends.
create table crm.installed_product (
    id                uuid primary key default gen_random_uuid(),
    account_id        uuid not null references crm.account,
    product_id        uuid not null references crm.product,
    factory           text not null,
    serial_no         text not null,
    sold_on           date not null,
    warranty_ends_on  date not null,
    call_on           date not null,
    unique (factory, serial_no)
);
create index on crm.installed_product (account_id);
create index on crm.installed_product (serial_no);

-- Tickets, continued: what is typed in here, and (the last columns) what the factory answers --------------------------------

create table crm.complaint (
    id              uuid primary key references crm.ticket,
    sales_order_id  uuid references crm.sales_order,
    defect          text not null check (defect in ('damaged', 'wrong', 'quality', 'late', 'other')),
    quantity        numeric(10,2),
    complaint_no    text,
    batch_no        text,
    quality_result  text,
    resolution      text,
    cost            numeric(12,2)
);

create table crm.service_request (
    id              uuid primary key references crm.ticket,
    serial_no       text,
    visit_on        date,
    technician      text,
    service_no      text,
    under_warranty  boolean,
    parts_cost      numeric(12,2),
    labour_cost     numeric(12,2)
);

create table crm.service_part (
    id                  uuid primary key default gen_random_uuid(),
    service_request_id  uuid not null references crm.service_request,
    product_id          uuid not null references crm.product,
    quantity            numeric(10,2) not null check (quantity > 0),
    unit_cost           numeric(12,4),                -- the factory's
    booked_at           timestamptz not null default now()
);
create index on crm.service_part (service_request_id);
