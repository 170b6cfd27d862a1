// A server and its clients in one program, over the loopback interface and a Unix socket:
// Go waits for sockets by epoll.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func serve(listener net.Listener) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.URL.Query().Get("name"))
	})
	mux.HandleFunc("/size", func(w http.ResponseWriter, r *http.Request) {
		count, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", count, err)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("large ", 20000))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	return server
}

func show(what string, response *http.Response, err error) {
	if err != nil {
		fmt.Println(what, "fails")
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	text := string(body)
	if len(text) > 40 {
		text = fmt.Sprint(len(text), " bytes")
	}
	fmt.Println(what, response.StatusCode, text, err)
}

func use(listener net.Listener, client *http.Client, base string) {
	server := serve(listener)
	response, err := client.Get(base + "/hello?name=guest")
	show("get", response, err)
	response, err = client.Post(base+"/size", "text/plain", strings.NewReader(strings.Repeat("x", 1<<17)))
	show("post", response, err)
	response, err = client.Get(base + "/large")
	show("large", response, err)
	response, err = client.Get(base + "/nothing")
	show("nothing", response, err)

	var group sync.WaitGroup
	results := make([]string, 20)
	for number := range results {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			response, err := client.Get(fmt.Sprintf("%s/hello?name=%d", base, number))
			if err == nil {
				body, _ := io.ReadAll(response.Body)
				response.Body.Close()
				results[number] = string(body)
			}
		}(number)
	}
	group.Wait()
	fmt.Println(strings.Join(results, ", "))

	impatient, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(impatient, "GET", base+"/slow", nil)
	response, err = client.Do(request)
	show("slow", response, err)
	fmt.Println("shut down", server.Shutdown(context.Background()))
	response, err = client.Get(base + "/hello")
	show("after", response, err)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("listen", err)
		os.Exit(1)
	}
	use(listener, &http.Client{}, "http://"+listener.Addr().String())

	listener, err = net.Listen("unix", "@http")
	if err != nil {
		fmt.Println("listen", err)
		os.Exit(1)
	}
	dial := func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", "@http")
	}
	use(listener, &http.Client{Transport: &http.Transport{DialContext: dial}}, "http://unix")

	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		fmt.Println("listen", err)
		os.Exit(1)
	}
	go func() {
		buffer := make([]byte, 100)
		for {
			count, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			packets.WriteTo([]byte(strings.ToUpper(string(buffer[:count]))), from)
		}
	}()
	connection, err := net.Dial("udp", packets.LocalAddr().String())
	if err == nil {
		buffer := make([]byte, 100)
		connection.Write([]byte("packet"))
		connection.SetReadDeadline(time.Now().Add(5 * time.Second))
		count, err := connection.Read(buffer)
		fmt.Println(string(buffer[:count]), err)
		connection.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		_, err = connection.Read(buffer)
		fmt.Println("late", os.IsTimeout(err))
	}
}
