# A server and its clients over loopback; what it keeps is written by a child of it.
cat >conf <<END
bind 127.0.0.1
port 7391
save ""
logfile log
dir .
END
until_log() {
    until [ "$(grep -c "$1" log)" = "$2" ]; do sleep 0.1; done
}
redis-server conf &
until_log 'Ready to accept' 1
redis-cli -p 7391 <<'END'
ping
set name ringfence
get name
incrby number 42
rpush list a b c
lrange list 0 -1
zadd order 2 two 1 one
zrange order 0 -1 withscores
eval "return redis.call('get', KEYS[1]) .. ARGV[1]" 1 name !
bgsave
END
until_log 'Background saving terminated with success' 1
ls dump.rdb
kill -TERM $!
wait $!
echo "ended with $?"
redis-server conf &
until_log 'Ready to accept' 2
redis-cli -p 7391 <<'END'
get name
dbsize
shutdown nosave
END
wait $!
echo "ended with $?"
