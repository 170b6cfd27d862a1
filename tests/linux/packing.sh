seq 20000 > numbers; mkdir -p tree/deep; cp numbers tree/deep; ln -s deep tree/link
chmod 640 tree/deep/numbers
tar cf tree.tar --mtime=@0 --owner=0 --group=0 --sort=name tree
openssl sha256 < tree.tar
xz -k -T1 tree.tar && gzip -nk tree.tar && ls -l tree.tar.* | awk '{ print $5 }'
rm -r tree && tar xf tree.tar.xz && cmp numbers tree/deep/numbers && readlink tree/link
stat -c %a tree/deep/numbers
openssl enc -aes-256-cbc -pbkdf2 -k key -S 0011223344556677 -in numbers | openssl md5
printf 'data' | openssl dgst -sha512 -hmac key
