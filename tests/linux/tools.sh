# Interpreters and tools that have a way of their own with files, processes or terminals.
lua -e '
local parts = {}
for word in ("one two three"):gmatch("%a+") do parts[#parts + 1] = word:upper() end
print(table.concat(parts, " "), math.maxinteger, string.format("%.3f", math.pi))
print(io.popen("echo through popen; exit 3"):read("a"), select(3, os.execute("exit 5")))
local file = assert(io.open("lua.txt", "w")); file:write("x"):seek("set", 100); file:write("y"):close()
print(#io.open("lua.txt"):read("a"), coroutine.wrap(function(a) coroutine.yield(a + 1) end)(6))
print(pcall(error, "caught"))'
cat >echo.tcl <<'END_TCL'
proc accept {channel host port} {
    fconfigure $channel -buffering line
    fileevent $channel readable [list answer $channel]
}
proc answer {channel} {
    if {[gets $channel line] < 0} { close $channel; set ::done 1 } else { puts $channel "<$line>" }
}
set server [socket -server accept -myaddr 127.0.0.1 0]
set client [socket 127.0.0.1 [lindex [fconfigure $server -sockname] 2]]
fconfigure $client -buffering line
puts $client "over loopback"
fileevent $client readable { puts [gets $client]; close $client }
vwait done
after 20 { puts "a timer"; set late 1 }
after 10 { puts "an earlier one" }
vwait late
puts [exec sort << "c\nb\na"]
puts "[catch {exec sh -c {exit 4}} text] $text $errorCode(no)"
END_TCL
sed -i 's/ \$errorCode(no)//' echo.tcl
tclsh echo.tcl
printf '{"a":[1,2.5,{"b":null}],"c":"\\u00e9"}' | jq -c '.a[2] + {c}, (.a[:2] | add), (. | keys)'
jq -n '[range(1000)] | map(select(. % 7 == 0)) | length, (now > 0), $ENV.HOME'
printf 'one\ntwo\nthree\n' >text
vim -u NONE -N -es text <<'END_VIM'
%s/t\(.\)/T\1\1/
$put ='new'
1,2move $
write
let @a = system('echo through vim')
put a
saveas other
quit
END_VIM
echo "status $?"; cat text other
ssh-keygen -q -t ed25519 -N '' -C comment -f key
ssh-keygen -y -f key | cut -c 1-20; ssh-keygen -l -f key.pub | cut -d ' ' -f 1,3-
stat -c '%a %n' key key.pub
printf signed >message && ssh-keygen -q -Y sign -f key -n file message 2>/dev/null
ssh-keygen -Y check-novalidate -n file -s message.sig <message | cut -d ' ' -f 1-3
curl -s "file://$PWD/text" -o copied -w '%{http_code} %{size_download}\n'; cmp text copied && echo same
curl -s http://127.0.0.1:9/ ; echo "status $?"
curl -s http://nowhere.invalid/; echo "status $?"
