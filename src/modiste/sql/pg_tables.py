"""Which tables PostgreSQL 15's clients look into, with their columns as PostgreSQL has them.

A column is text where nothing is said; `:i` integer, `:b` boolean, `:f` float, `:d` timestamp,
`:l` list of integers, `:m` list of texts.
"""

from __future__ import annotations

import pyarrow as pa

KINDS = {
    "": pa.string(),
    "i": pa.int64(),
    "b": pa.bool_(),
    "f": pa.float64(),
    "d": pa.timestamp("us"),
    "l": pa.list_(pa.int64()),
    "m": pa.list_(pa.string()),
}


def schemas(text: str) -> dict[str, pa.Schema]:
    """Tables by name, of lines `name = column column:kind ...`."""
    found = {}
    for line in text.strip().replace("\n  ", " ").splitlines():
        name, _, columns = line.partition(" = ")
        pairs = (each.partition(":") for each in columns.split())
        found[name] = pa.schema([(column, KINDS[kind]) for column, _, kind in pairs])
    return found


CATALOG = schemas("""
pg_am = oid:i amname amhandler:i amtype
pg_attrdef = oid:i adrelid:i adnum:i adbin
pg_attribute = attrelid:i attname atttypid:i attstattarget:i attlen:i attnum:i attndims:i
  attcacheoff:i atttypmod:i attbyval:b attalign attstorage attcompression attnotnull:b atthasdef:b
  atthasmissing:b attidentity attgenerated attisdropped:b attislocal:b attinhcount:i
  attcollation:i attacl:m attoptions:m attfdwoptions:m attmissingval
pg_auth_members = roleid:i member:i grantor:i admin_option:b
pg_class = oid:i relname relnamespace:i reltype:i reloftype:i relowner:i relam:i relfilenode:i
  reltablespace:i relpages:i reltuples:f relallvisible:i reltoastrelid:i relhasindex:b
  relisshared:b relpersistence relkind relnatts:i relchecks:i relhasrules:b relhastriggers:b
  relhassubclass:b relrowsecurity:b relforcerowsecurity:b relispopulated:b relreplident
  relispartition:b relrewrite:i relfrozenxid:i relminmxid:i relacl:m reloptions:m relpartbound
pg_collation = oid:i collname collnamespace:i collowner:i collprovider collisdeterministic:b
  collencoding:i collcollate collctype colliculocale collversion
pg_constraint = oid:i conname connamespace:i contype condeferrable:b condeferred:b convalidated:b
  conrelid:i contypid:i conindid:i conparentid:i confrelid:i confupdtype confdeltype confmatchtype
  conislocal:b coninhcount:i connoinherit:b conkey:l confkey:l conpfeqop:l conppeqop:l conffeqop:l
  confdelsetcols:l conexclop:l conbin
pg_database = oid:i datname datdba:i encoding:i datlocprovider datistemplate:b datallowconn:b
  datconnlimit:i datfrozenxid:i datminmxid:i dattablespace:i datcollate datctype daticulocale
  datcollversion datacl:m
pg_depend = classid:i objid:i objsubid:i refclassid:i refobjid:i refobjsubid:i deptype
pg_description = objoid:i classoid:i objsubid:i description
pg_enum = oid:i enumtypid:i enumsortorder:f enumlabel
pg_extension = oid:i extname extowner:i extnamespace:i extrelocatable:b extversion extconfig:l
  extcondition:m
pg_foreign_data_wrapper = oid:i fdwname fdwowner:i fdwhandler:i fdwvalidator:i fdwacl:m
  fdwoptions:m
pg_foreign_server = oid:i srvname srvowner:i srvfdw:i srvtype srvversion srvacl:m srvoptions:m
pg_foreign_table = ftrelid:i ftserver:i ftoptions:m
pg_group = groname grosysid:i grolist:l
pg_index = indexrelid:i indrelid:i indnatts:i indnkeyatts:i indisunique:b indnullsnotdistinct:b
  indisprimary:b indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b
  indisready:b indislive:b indisreplident:b indkey:l indcollation:l indclass:l indoption:l
  indexprs indpred
pg_indexes = schemaname tablename indexname tablespace indexdef
pg_inherits = inhrelid:i inhparent:i inhseqno:i inhdetachpending:b
pg_language = oid:i lanname lanowner:i lanispl:b lanpltrusted:b lanplcallfoid:i laninline:i
  lanvalidator:i lanacl:m
pg_matviews = schemaname matviewname matviewowner tablespace hasindexes:b ispopulated:b definition
pg_namespace = oid:i nspname nspowner:i nspacl:m
pg_opclass = oid:i opcmethod:i opcname opcnamespace:i opcowner:i opcfamily:i opcintype:i
  opcdefault:b opckeytype:i
pg_partitioned_table = partrelid:i partstrat partnatts:i partdefid:i partattrs:l partclass:l
  partcollation:l partexprs
pg_policy = oid:i polname polrelid:i polcmd polpermissive:b polroles:l polqual polwithcheck
pg_proc = oid:i proname pronamespace:i proowner:i prolang:i procost:f prorows:f provariadic:i
  prosupport:i prokind prosecdef:b proleakproof:b proisstrict:b proretset:b provolatile
  proparallel pronargs:i pronargdefaults:i prorettype:i proargtypes:l proallargtypes:l
  proargmodes:m proargnames:m proargdefaults protrftypes:l prosrc probin prosqlbody proconfig:m
  proacl:m
pg_publication = oid:i pubname pubowner:i puballtables:b pubinsert:b pubupdate:b pubdelete:b
  pubtruncate:b pubviaroot:b
pg_publication_namespace = oid:i pnpubid:i pnnspid:i
pg_publication_rel = oid:i prpubid:i prrelid:i prqual prattrs:l
pg_range = rngtypid:i rngsubtype:i rngmultitypid:i rngcollation:i rngsubopc:i rngcanonical:i
  rngsubdiff:i
pg_rewrite = oid:i rulename ev_class:i ev_type ev_enabled is_instead:b ev_qual ev_action
pg_roles = rolname rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b
  rolreplication:b rolconnlimit:i rolpassword rolvaliduntil:d rolbypassrls:b rolconfig:m oid:i
pg_sequence = seqrelid:i seqtypid:i seqstart:i seqincrement:i seqmax:i seqmin:i seqcache:i
  seqcycle:b
pg_sequences = schemaname sequencename sequenceowner data_type start_value:i min_value:i
  max_value:i increment_by:i cycle:b cache_size:i last_value:i
pg_settings = name setting unit category short_desc extra_desc context vartype source min_val
  max_val enumvals:m boot_val reset_val sourcefile sourceline:i pending_restart:b
pg_shdescription = objoid:i classoid:i description
pg_stat_activity = datid:i datname pid:i leader_pid:i usesysid:i usename application_name
  client_addr client_hostname client_port:i backend_start:d xact_start:d query_start:d
  state_change:d wait_event_type wait_event state backend_xid:i backend_xmin:i query_id:i query
  backend_type
pg_statistic_ext = oid:i stxrelid:i stxname stxnamespace:i stxowner:i stxstattarget:i stxkeys:l
  stxkind:m stxexprs
pg_tables = schemaname tablename tableowner tablespace hasindexes:b hasrules:b hastriggers:b
  rowsecurity:b
pg_tablespace = oid:i spcname spcowner:i spcacl:m spcoptions:m
pg_trigger = oid:i tgrelid:i tgparentid:i tgname tgfoid:i tgtype:i tgenabled tgisinternal:b
  tgconstrrelid:i tgconstrindid:i tgconstraint:i tgdeferrable:b tginitdeferred:b tgnargs:i
  tgattr:l tgargs tgqual tgoldtable tgnewtable
pg_type = oid:i typname typnamespace:i typowner:i typlen:i typbyval:b typtype typcategory
  typispreferred:b typisdefined:b typdelim typrelid:i typsubscript:i typelem:i typarray:i
  typinput:i typoutput:i typreceive:i typsend:i typmodin:i typmodout:i typanalyze:i typalign
  typstorage typnotnull:b typbasetype:i typtypmod:i typndims:i typcollation:i typdefaultbin
  typdefault typacl:m
pg_user = usename usesysid:i usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd valuntil:d
  useconfig:m
pg_views = schemaname viewname viewowner definition
""")
INFORMATION = schemas("""
character_sets = character_set_catalog character_set_schema character_set_name
  character_repertoire form_of_use default_collate_catalog default_collate_schema
  default_collate_name
collations = collation_catalog collation_schema collation_name pad_attribute
columns = table_catalog table_schema table_name column_name ordinal_position:i column_default
  is_nullable data_type character_maximum_length:i character_octet_length:i numeric_precision:i
  numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type
  interval_precision:i character_set_catalog character_set_schema character_set_name
  collation_catalog collation_schema collation_name domain_catalog domain_schema domain_name
  udt_catalog udt_schema udt_name scope_catalog scope_schema scope_name maximum_cardinality:i
  dtd_identifier is_self_referencing is_identity identity_generation identity_start
  identity_increment identity_maximum identity_minimum identity_cycle is_generated
  generation_expression is_updatable
constraint_column_usage = table_catalog table_schema table_name column_name constraint_catalog
  constraint_schema constraint_name
key_column_usage = constraint_catalog constraint_schema constraint_name table_catalog table_schema
  table_name column_name ordinal_position:i position_in_unique_constraint:i
parameters = specific_catalog specific_schema specific_name ordinal_position:i parameter_mode
  is_result as_locator parameter_name data_type character_maximum_length:i
  character_octet_length:i character_set_catalog character_set_schema character_set_name
  collation_catalog collation_schema collation_name numeric_precision:i numeric_precision_radix:i
  numeric_scale:i datetime_precision:i interval_type interval_precision:i udt_catalog udt_schema
  udt_name scope_catalog scope_schema scope_name maximum_cardinality:i dtd_identifier
  parameter_default
referential_constraints = constraint_catalog constraint_schema constraint_name
  unique_constraint_catalog unique_constraint_schema unique_constraint_name match_option
  update_rule delete_rule
routines = specific_catalog specific_schema specific_name routine_catalog routine_schema
  routine_name routine_type module_catalog module_schema module_name udt_catalog udt_schema
  udt_name data_type character_maximum_length:i character_octet_length:i character_set_catalog
  character_set_schema character_set_name collation_catalog collation_schema collation_name
  numeric_precision:i numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type
  interval_precision:i type_udt_catalog type_udt_schema type_udt_name scope_catalog scope_schema
  scope_name maximum_cardinality:i dtd_identifier routine_body routine_definition external_name
  external_language parameter_style is_deterministic sql_data_access is_null_call sql_path
  schema_level_routine max_dynamic_result_sets is_user_defined_cast is_implicitly_invocable
  security_type to_sql_specific_catalog to_sql_specific_schema to_sql_specific_name as_locator
  created last_altered new_savepoint_level is_udt_dependent result_cast_from_data_type
  result_cast_as_locator result_cast_char_max_length result_cast_char_octet_length
  result_cast_char_set_catalog result_cast_char_set_schema result_cast_char_set_name
  result_cast_collation_catalog result_cast_collation_schema result_cast_collation_name
  result_cast_numeric_precision result_cast_numeric_precision_radix result_cast_numeric_scale
  result_cast_datetime_precision result_cast_interval_type result_cast_interval_precision
  result_cast_type_udt_catalog result_cast_type_udt_schema result_cast_type_udt_name
  result_cast_scope_catalog result_cast_scope_schema result_cast_scope_name
  result_cast_maximum_cardinality result_cast_dtd_identifier
schemata = catalog_name schema_name schema_owner default_character_set_catalog
  default_character_set_schema default_character_set_name sql_path
sequences = sequence_catalog sequence_schema sequence_name data_type numeric_precision:i
  numeric_precision_radix:i numeric_scale:i start_value minimum_value maximum_value increment
  cycle_option
table_constraints = constraint_catalog constraint_schema constraint_name table_catalog
  table_schema table_name constraint_type is_deferrable initially_deferred enforced nulls_distinct
tables = table_catalog table_schema table_name table_type self_referencing_column_name
  reference_generation user_defined_type_catalog user_defined_type_schema user_defined_type_name
  is_insertable_into is_typed commit_action
triggers = trigger_catalog trigger_schema trigger_name event_manipulation event_object_catalog
  event_object_schema event_object_table action_order:i action_condition action_statement
  action_orientation action_timing action_reference_old_table action_reference_new_table
  action_reference_old_row action_reference_new_row created
views = table_catalog table_schema table_name view_definition check_option is_updatable
  is_insertable_into is_trigger_updatable is_trigger_deletable is_trigger_insertable_into
""")
