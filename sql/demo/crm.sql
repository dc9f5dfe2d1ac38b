-- The demo's CRM, as its vendor drew it: generated uuid keys, timestamptz, rows that are
-- marked as deleted instead of being deleted. Run once on an empty database.

create schema crm;

-- The catalogue as sales sees it. The ERP owns it; nobody types products in here.
create table crm.product (
    id          uuid primary key default gen_random_uuid(),
    sku         text not null unique,
    name        text not null,
    list_price  numeric(12,2) not null,
    currency    char(3) not null,
    unit        text not null,
    active      boolean not null default true,
    weight_kg   numeric(10,3),
    created_at  timestamptz not null default now()
);

create table crm.account (
    id              uuid primary key default gen_random_uuid(),
    name            text not null,
    vat_number      text unique,
    street          text,
    zip             text,
    city            text,
    country_code    char(2),
    phone           text,
    website         text,
    segment         text not null default 'standard' check (segment in ('key', 'standard', 'small')),
    status          text not null default 'active' check (status in ('active', 'dormant', 'prospect')),
    account_manager text,
    credit_limit    numeric(12,2),     -- what the ERP grants; sales looks, finance decides
    payment_terms   text,              -- 'NET30', decided in the ERP as well
    erp_customer_no text,              -- empty until the ERP has the customer
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    deleted_at      timestamptz
);
create index on crm.account (erp_customer_no);

create table crm.contact (
    id          uuid primary key default gen_random_uuid(),
    account_id  uuid not null references crm.account,
    first_name  text,
    last_name   text not null,
    email       text,
    phone       text,
    job_title   text,
    is_primary  boolean not null default false,
    opted_in    boolean not null default false,   -- consent to marketing: recorded here and nowhere else
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    deleted_at  timestamptz
);
create index on crm.contact (account_id);

-- A quote goes through many rounds. Only a confirmed one concerns the ERP.
create table crm.quote (
    id            uuid primary key default gen_random_uuid(),
    account_id    uuid not null references crm.account,
    title         text not null,
    stage         text not null default 'draft' check (stage in ('draft', 'negotiation', 'confirmed', 'rejected')),
    currency      char(3) not null default 'EUR',
    valid_until   date,
    note          text,
    confirmed_at  timestamptz,
    erp_order_no  text,                -- these two come back from the ERP
    order_status  text check (order_status in ('ordered', 'shipped', 'invoiced', 'cancelled')),
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    check (stage <> 'confirmed' or confirmed_at is not null)
);
create index on crm.quote (account_id);

create table crm.quote_line (
    id               uuid primary key default gen_random_uuid(),
    quote_id         uuid not null references crm.quote,
    position         integer not null,
    product_id       uuid not null references crm.product,
    quantity         numeric(10,2) not null check (quantity > 0),
    unit_price       numeric(12,2) not null,
    discount_percent numeric(5,2) not null default 0 check (discount_percent between 0 and 100),
    unique (quote_id, position)
);
create index on crm.quote_line (product_id);
