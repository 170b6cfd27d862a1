# An init that reaps what others leave, and passes signals on.
tini -- sh -c 'echo child; exit 7'; echo "status $?"
tini -s -- sh -c '(sleep 0.1 & ) ; echo parent gone; sleep 0.5'; echo "status $?"
tini -s -- sh -c 'kill -TERM $$'; echo "status $?"
tini -e 143 -s -- sh -c 'kill -TERM $$'; echo "status $?"
tini -s -- sh -c 'trap "echo term; exit 3" TERM; echo ready >ready; while :; do sleep 0.05; done' &
until [ -s ready ]; do sleep 0.05; done
kill -TERM $!
wait $!; echo "status $?"
# The whole group of the child gets it.
tini -g -s -- sh -c 'sh -c "trap \"echo grandchild; exit\" USR1; echo >second; while :; do sleep 0.05; done" &
    trap "wait; echo first; exit 4" USR1; until [ -e second ]; do sleep 0.05; done
    echo >both; while :; do sleep 0.05; done' &
until [ -e both ]; do sleep 0.05; done
kill -USR1 $!
wait $!; echo "status $?"
tini -s -p SIGKILL -- sh -c 'sleep 0.1'; echo "status $?"
tini -- ./nowhere 2>/dev/null; echo "status $?"
