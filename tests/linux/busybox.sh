b=busybox
printf 'b 2\na 1\nc 3\n' > data
$b sort data | $b awk '{ sum += $2; print $1 } END { print sum }'
$b sed -n 's/a/A/p' data
$b seq 10 | $b tr '\n' ' ' | $b rev
$b dd if=/dev/zero bs=1k count=5 2>/dev/null | $b wc -c
$b md5sum data | $b cut -c1-32
$b mkdir -p one/two && $b ln -s two one/three && $b touch one/two/file
$b find . | $b sort
$b tar cf all.tar one && $b tar tf all.tar
$b gzip -c data | $b gunzip | $b cmp - data && echo same
$b stat -c '%a %s %F' data one/three; $b stat -c '%a %F' one
$b chmod 640 data && $b stat -c %a data
$b expr 6 '*' 7; $b test -d one && echo folder
$b sh -c 'for i in 1 2 3; do echo $i; done | while read n; do echo $((n * n)); done'
$b false; echo $?
