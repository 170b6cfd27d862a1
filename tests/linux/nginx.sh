# A master and its workers serve files over loopback, take a new configuration, and end.
mkdir logs files
echo 'hello from nginx' >files/index.html
seq 1 20000 >files/numbers
chmod -R a+rX .
cat >conf <<END
daemon off;
worker_processes 2;
pid $PWD/pid;
error_log $PWD/logs/error notice;
events {}
http {
    access_log off;
    sendfile on;
    client_body_temp_path $PWD/body;
    proxy_temp_path $PWD/proxy;
    fastcgi_temp_path $PWD/fastcgi;
    uwsgi_temp_path $PWD/uwsgi;
    scgi_temp_path $PWD/scgi;
    server {
        listen 127.0.0.1:7392;
        root $PWD/files;
    }
}
END
until_log() {
    until [ "$(grep -c "$1" logs/error)" -ge "$2" ]; do sleep 0.1; done
}
nginx -p . -c "$PWD/conf" -e logs/error &
until_log 'start worker process ' 2
server=http://127.0.0.1:7392
curl -s $server/ $server/none -w '%{http_code}\n' | grep -v nginx/
curl -s $server/numbers | md5sum
kill -HUP $!
until_log 'start worker process ' 4
curl -s -r 0-9 $server/numbers
kill -QUIT $!
wait $!
echo "ended with $?"
