# Threads walk a tree and search what they map or read.
mkdir tree && cd tree && mkdir 0 1 2 3
seq 1 7 60000 | split -l 300 -a 2 -d - 0/
seq 2 11 60000 | split -l 2000 -a 1 - 3/
cd ..
printf 'bytes\0needle 77\n' >tree/binary
printf 'ignored\n' >tree/.ignore
cp tree/0/00 tree/ignored
ln -s 0 tree/link
rg --sort path -c 77 tree
rg -j 4 -l '^4?77$' tree | sort
rg --files tree | sort | md5sum
rg --mmap -oN --no-filename '(.)7\b' tree/3 | sort | uniq -c
rg -uuu -N --no-filename -e needle -a tree
rg --json 490 tree/0 | sed 's/"elapsed.*//' | grep -c match
printf 'from a pipe\n' | rg -r 'through $1' 'a (pipe)'
rg nowhere tree; echo "status $?"
rg '(' tree 2>&1 | head -n 2
