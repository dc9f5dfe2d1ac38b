"""Which words of SQL an expression may use: functions, types, operators.

An allow-list: every function here is immutable or stable in PostgreSQL, returns one value, and
reaches nothing but its arguments (and, for those in CLOCK, the transaction's time). Lists of
words that are refused exist only to say why.
"""

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


TEXT = word_set("""
    ascii bit_length btrim char_length character_length chr concat concat_ws format initcap left length lower lpad
    ltrim md5 normalize octet_length overlay position quote_ident quote_literal quote_nullable regexp_count
    regexp_instr regexp_like regexp_match regexp_replace regexp_split_to_array regexp_substr repeat replace
    reverse right rpad rtrim split_part starts_with string_to_array strpos substr substring to_hex translate trim
    unistr upper
""")
NUMBERS = word_set("""
    abs acos asin atan atan2 cbrt ceil ceiling cos cot degrees div exp factorial floor gcd lcm ln log log10
    min_scale mod pi power radians round scale sign sin sqrt tan to_number trim_scale trunc width_bucket
""")
DATES = word_set("""
    date_bin date_part date_trunc extract isfinite justify_days justify_hours justify_interval make_date
    make_interval make_time make_timestamp make_timestamptz timezone to_char to_date to_timestamp
""")
JSON = word_set("""
    array_to_json json_array_length json_build_array json_build_object json_extract_path json_extract_path_text
    json_object json_strip_nulls json_typeof jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_path_exists jsonb_path_match
    jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls
    jsonb_typeof to_json to_jsonb
""")
ARRAYS_AND_RANGES = word_set("""
    array_append array_cat array_dims array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_to_string array_upper cardinality daterange int4range int8range
    isempty lower_inc lower_inf numrange trim_array tsrange tstzrange upper_inc upper_inf
""")
BYTES_AND_NETWORK = word_set("""
    abbrev broadcast convert_from convert_to decode encode family get_bit get_byte host hostmask masklen netmask
    network set_bit set_byte set_masklen sha224 sha256 sha384 sha512
""")
CHOICES = word_set("cast coalesce greatest least nullif num_nonnulls num_nulls row")
CLOCK = word_set("""
    age current_date current_time current_timestamp localtime localtimestamp now statement_timestamp
    transaction_timestamp
""")
FUNCTIONS = (
    TEXT | NUMBERS | DATES | JSON | ARRAYS_AND_RANGES | BYTES_AND_NETWORK | CHOICES | CLOCK
    | word_set("date float4 float8 int2 int4 int8 text")  # casts written as calls
)  # fmt: skip

# Words that stand before `(` without being functions.
BEFORE_PARENTHESIS = word_set("""
    all and any array as between by case else escape for from ilike in is leading like not on or overlaps placing
    some then to trailing both when using varying zone
""")

MANY_ROWS = word_set("""
    any_value array_agg avg bit_and bit_or bool_and bool_or corr count covar_pop covar_samp cume_dist dense_rank
    every first_value json_agg json_object_agg jsonb_agg jsonb_object_agg lag last_value lead max min mode
    nth_value ntile percent_rank percentile_cont percentile_disc range_agg rank row_number stddev stddev_pop
    stddev_samp string_agg sum var_pop var_samp variance xmlagg generate_series generate_subscripts unnest
    regexp_matches regexp_split_to_table string_to_table json_array_elements json_array_elements_text json_each
    json_each_text json_object_keys json_populate_recordset jsonb_array_elements jsonb_array_elements_text
    jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query
""")
NOT_PURE = word_set("""
    clock_timestamp currval current_catalog current_database current_query current_role current_schema
    current_schemas current_setting current_user cursor_to_xml database_to_xml dblink dblink_exec gen_random_bytes
    gen_random_uuid inet_client_addr inet_client_port inet_server_addr inet_server_port lastval lo_export
    lo_from_bytea lo_get lo_import lo_put lo_unlink nextval notify query_to_xml random random_normal schema_to_xml
    session_user set_config setseed setval system_user table_to_xml timeofday txid_current user uuid_generate_v1
    uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7 version
""")
NOT_PURE_WORDS = word_set("current_catalog current_role current_schema current_user session_user system_user")
NOT_PURE_PREFIXES = ("pg_", "lo_", "dblink", "txid_", "has_")

STATEMENTS = word_set("""
    alter analyze call copy create delete do drop execute explain grant insert listen merge prepare revoke select
    show table truncate union update vacuum values with intersect except into
""")
MANY_ROWS_SYNTAX = word_set("filter over partition qualify within window")

# The first word of each type a cast may name. What PostgreSQL calls them, and their aliases.
TYPES = word_set("""
    bigint bit bool boolean bpchar bytea char character cidr citext date daterange dec decimal double float float4
    float8 inet int int2 int4 int4range int8 int8range integer interval json jsonb macaddr money name numeric
    numrange real smallint text time timestamp timestamptz timetz tsrange tstzrange uuid varbit varchar xml
""")

OPERATORS = word_set("""
    + - * / % ^ || = <> != < <= > >= ~ ~* !~ !~* ~~ ~~* !~~ !~~* ! -> ->> #> #>> #- @> <@ ? ?| ?& && << >> & | #
    |/ ||/ -|- &< &> ^@ @? @@ :: ( ) [ ] , . :
""")
SPLIT_OPERATORS = frozenset(("!~", "!~*", "!~~", "!~~*", "<<", ">>"))
SYMBOLS = frozenset("+-*/<>=~!@#%^&|?")
