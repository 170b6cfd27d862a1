here=$PWD
export here
unshare --mount sh -c '
mount --make-rprivate /
mkdir m n root root/bin root/proc
mount -t tmpfs -o size=100k,mode=750,nosuid scratch m
findmnt -rno SOURCE,FSTYPE,TARGET m | sed "s:$here::"
stat -c %a m; mountpoint -q m && echo mounted; mountpoint -q n || echo not mounted
echo text >m/file
mount --bind m n && cat n/file
mount -o remount,bind,ro n
echo other >n/file; echo status $?
findmnt -rno OPTIONS n | cut -d, -f1-2
mv m/file here 2>&1 && cat here
df -k --output=size,used m | tail -1
umount m && umount n && umount n; echo status $?
mount -t tmpfs one m && mkdir m/in && mount -t tmpfs two m/in && echo in >m/in/file
mount --rbind m n && cat n/in/file
umount n; echo status $?
umount -R n && umount -l m && ls m
busybox mount -t tmpfs -o mode=700 three m
busybox mount -o remount,ro m; touch m/file; echo status $?
busybox mount | grep -c "^three on $here/m type tmpfs (ro,"
busybox umount m && ls m
cp "$(command -v busybox)" root/bin/busybox
busybox mount -t proc proc root/proc
for call in chroot "busybox chroot"; do
    $call root /bin/busybox sh -c "cd /..; pwd; ls /; readlink /proc/self/exe; cat /proc/mounts"
done
mount --rbind root root && cd root && mkdir old && pivot_root . old
exec /bin/busybox sh -c "/bin/busybox umount -l old; pwd; ls; cut -d\" \" -f2 /proc/mounts"
' 2>&1 | sed 's/^umount: .*/umount: refused/'
ls m n
