// Goroutines that take turns, a fault that is recovered from, and a hash.
package main

import (
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"sync"
)

func sum(count int) float64 {
	total := 0.0
	for i := 0; i < count; i++ {
		total = math.FMA(float64(i), 1.5, total) - math.Sqrt(float64(i))
	}
	return total
}

func main() {
	var all sync.WaitGroup
	sums := make([]float64, 4)
	for i := range sums {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			sums[i] = sum(100000 + i)
		}(i)
	}
	all.Wait()
	fmt.Println(sums)
	fmt.Printf("%x\n", sha256.Sum256(make([]byte, 100000)))
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var nowhere *int
		*nowhere = 1
	}()
	os.Exit(5)
}
