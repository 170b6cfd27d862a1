sqlite3 data.db <<'END'
pragma journal_mode=wal;
create table people(id integer primary key, name text unique);
begin; insert into people(name) values('a'), ('b'), ('c'); commit;
select count(*), group_concat(name, '+') from people;
with recursive n(x) as (select 1 union all select x + 1 from n where x < 2000) select sum(x) from n;
create index by_name on people(name); explain query plan select * from people where name = 'b';
.backup copy.db
END
sqlite3 copy.db 'pragma integrity_check; delete from people where id = 2; vacuum; select * from people'
sqlite3 data.db 'select * from missing' 2> /dev/null; echo "status $?"
