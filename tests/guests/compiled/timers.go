// Timers, which the runtime of Go waits for by epoll and an eventfd.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	done := make(chan int)
	for i := 0; i < 3; i++ {
		go func(number int) {
			time.Sleep(time.Duration(210-100*number) * time.Millisecond)
			done <- number
		}(i)
	}
	for i := 0; i < 3; i++ {
		fmt.Println("timer", <-done)
	}
	ticker := time.NewTicker(2 * time.Millisecond)
	for i := 0; i < 3; i++ {
		<-ticker.C
	}
	ticker.Stop()
	reader, writer, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		time.Sleep(time.Millisecond)
		writer.Write([]byte("through a pipe"))
		writer.Close()
	}()
	buffer := make([]byte, 100)
	count, err := reader.Read(buffer)
	fmt.Println(string(buffer[:count]), err)
	select {
	case <-done:
	case <-time.After(5 * time.Millisecond):
		fmt.Println("time out")
	}
}
