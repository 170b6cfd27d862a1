cat > main.go <<'END'
package main

import (
	"fmt"
	"os"
)

func main() {
	done := make(chan int)
	go func() {
		sum := 0
		for n := 1; n <= 1000; n++ {
			sum += n
		}
		done <- sum
	}()
	fmt.Println(<-done)
	os.Exit(9)
}
END
go build main.go && ./main; echo "status $?"
printf 'package main\nfunc main() { var x int = "a" }\n' > bad.go
go tool compile bad.go 2> error; echo "status $?"; cat error
