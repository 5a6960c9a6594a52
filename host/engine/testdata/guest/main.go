//go:build wasip1

// A guest for the engine's tests. The task's kind says what it does; whatever
// it says goes to task_return.
package main

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

func main() {}

//go:wasmimport wasmhost_v1 rows_open
func rowsOpen(ptr unsafe.Pointer, n uint32) int64

//go:wasmimport wasmhost_v1 rows_next
func rowsNext(cursor uint32, ptr unsafe.Pointer, n uint32) int64

//go:wasmimport wasmhost_v1 rows_close
func rowsClose(cursor uint32) int64

//go:wasmimport wasmhost_v1 rows_write
func rowsWrite(head unsafe.Pointer, headLen uint32, rows unsafe.Pointer, rowsLen uint32, buf unsafe.Pointer, n uint32) int64

//go:wasmimport wasmhost_v1 command
func command(req unsafe.Pointer, reqLen uint32, buf unsafe.Pointer, n uint32) int64

//go:wasmimport wasmhost_v1 progress
func progress(done, total int64) int64

//go:wasmimport wasmhost_v1 log
func log(level uint32, ptr unsafe.Pointer, n uint32)

//go:wasmimport wasmhost_v1 pending
func pending(ptr unsafe.Pointer, n uint32) int64

//go:wasmimport wasmhost_v1 task_return
func taskReturn(ptr unsafe.Pointer, n uint32) int64

var (
	input []byte
	kept  [][]byte
	count int
)

//go:wasmexport wasmhost_input
func wasmhostInput(n uint32) uint32 {
	input = make([]byte, n)
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(input))))
}

//go:wasmexport wasmhost_work
func wasmhostWork(n uint32) uint32 {
	task, err := wire.ReadTask(input[:n])
	if err != nil {
		return uint32(abi.InvalidArgument)
	}
	count++
	return uint32(work(task))
}

func data(b []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))
}

func give(b []byte) abi.Result {
	ptr, n := data(b)
	return abi.Result(taskReturn(ptr, n))
}

// fetch reads n pending bytes.
func fetch(n uint32) string {
	b := make([]byte, n)
	ptr, size := data(b)
	if res := abi.Result(pending(ptr, size)); res.Code() != abi.OK {
		return "pending: " + res.Code().String()
	}
	return string(b)
}

// say hands over what a host call came to: "code n" and the text of a failure.
func say(res abi.Result) abi.Code {
	text := fmt.Sprintf("%s %d", res.Code(), res.N())
	if res.Code() != abi.OK {
		text += " " + fetch(res.N())
	}
	give([]byte(text))
	return abi.OK
}

func work(task abi.Task) abi.Code {
	arg := ""
	if r := wire.NewReader(task.Payload); r.Kind() == wire.KindString {
		b, _ := r.String()
		arg = string(b)
	}
	buf := make([]byte, 4096)
	var w wire.Writer
	switch task.Kind {
	case "echo":
		give(task.Payload)
	case "count":
		give([]byte(fmt.Sprint(count)))
	case "fail":
		w.TaskError(&abi.TaskError{Message: arg, AfterMS: 1500})
		give(w.B)
		code, _ := abi.ParseCode(arg)
		return code
	case "bare":
		give([]byte("bare text"))
		return abi.Failed
	case "number":
		return abi.Code(4711)
	case "panic":
		panic("out of order: " + arg)
	case "exit":
		os.Exit(3)
	case "hog":
		for {
			kept = append(kept, make([]byte, 1<<20))
		}
	case "churn":
		live := make([][]byte, 6)
		for i := range 600 {
			live[i%len(live)] = make([]byte, 1<<20)
		}
		give([]byte("done"))
	case "print":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
		fmt.Print("no end \x1b[31m")
	case "flood":
		fmt.Print(strings.Repeat("x", 1<<20))
		for range 5000 {
			line := []byte("line")
			ptr, n := data(line)
			log(uint32(abi.Info), ptr, n)
		}
	case "spin":
		for i := 0; ; i++ {
			if i < 0 {
				break
			}
		}
	case "count-to":
		n, _ := strconv.Atoi(arg)
		sum := 0
		for i := range n {
			sum += i
		}
		give([]byte(strconv.Itoa(sum)))
	case "sleep":
		time.Sleep(time.Hour)
	case "clock":
		var b [16]byte
		rand.Read(b[:])
		start := time.Now()
		time.Sleep(2 * time.Millisecond)
		give([]byte(fmt.Sprintf("%d %t %x", time.Now().Unix(), time.Since(start) >= 2*time.Millisecond, b)))
	case "random":
		give([]byte(rand.Text()))
	case "random-math":
		give([]byte(strconv.FormatUint(mathrand.Uint64(), 16)))
	case "close-streams":
		closes := func(fd int) bool { return syscall.Close(fd) == nil }
		give([]byte(fmt.Sprint(closes(1), closes(2), closes(9))))
		fmt.Println("still heard")
	case "world":
		_, files := os.ReadDir("/")
		_, file := os.ReadFile("/etc/hostname")
		var env []string
		for _, e := range os.Environ() {
			env = append(env, strings.SplitN(e, "=", 2)[0])
		}
		give([]byte(fmt.Sprintf("%t %t %v %d", files != nil, file != nil, env, len(os.Args))))
	case "return-too-much":
		return say(give(make([]byte, 1000)))
	case "progress":
		return say(abi.Result(progress(3, 10)))
	case "progress-bad":
		return say(abi.Result(progress(-1, 10)))
	case "call":
		w.Request(&abi.Request{Name: arg})
		req, n := data(w.B)
		ptr, size := data(buf)
		res := abi.Result(command(req, n, ptr, size))
		if res.Code() == abi.OK {
			give(buf[:res.N()])
			return abi.OK
		}
		return say(res)
	case "call-forever":
		for {
			w := wire.Writer{}
			w.Request(&abi.Request{Name: arg})
			req, n := data(w.B)
			ptr, size := data(buf)
			command(req, n, ptr, size)
		}
	case "call-until-refused":
		w.Request(&abi.Request{Name: arg})
		req, n := data(w.B)
		ptr, size := data(buf)
		for {
			if res := abi.Result(command(req, n, ptr, size)); res.Code() != abi.OK {
				return say(res)
			}
		}
	case "wild":
		wild(arg)
	case "cursors":
		w.Query(&abi.Query{Handle: "h", Collection: "c"})
		ptr, n := data(w.B)
		for {
			if res := abi.Result(rowsOpen(ptr, n)); res.Code() != abi.OK {
				return say(res)
			}
		}
	case "read":
		w.Query(&abi.Query{Handle: "h", Collection: arg, Lookup: []byte{0x91, 0xa1, 'k'}})
		ptr, n := data(w.B)
		res := abi.Result(rowsOpen(ptr, n))
		if res.Code() != abi.OK {
			return say(res)
		}
		clear(w.B)
		cursor := res.N()
		var all []byte
		for {
			ptr, n = data(buf[:16])
			res = abi.Result(rowsNext(cursor, ptr, n))
			if res.Code() == abi.BufferTooSmall {
				all = append(all, fetch(res.N())...)
				continue
			}
			if res.Code() != abi.OK {
				return say(res)
			}
			if res.N() == 0 {
				break
			}
			all = append(all, buf[:res.N()]...)
		}
		rowsClose(cursor)
		give(append(all, fmt.Sprintf(" then %s", abi.Result(rowsClose(cursor)).Code())...))
	case "write":
		w.Mutations(abi.Mutation{Handle: "h", Collection: arg, Verb: abi.Insert})
		head, n := data(w.B)
		rows, size := data([]byte(arg))
		ptr, room := data(buf)
		res := abi.Result(rowsWrite(head, n, rows, size, ptr, room))
		if res.Code() != abi.OK {
			return say(res)
		}
		give(buf[:res.N()])
	}
	return abi.OK
}

// wild calls imports with arguments that are wrong, and hands over the codes.
func wild(arg string) {
	far := unsafe.Pointer(uintptr(0xfffffff0))
	one := []byte{0xc1}
	ptr, n := data(one)
	room, size := data(make([]byte, 8))
	var codes []string
	for _, res := range []int64{
		rowsOpen(far, 16),
		rowsOpen(ptr, 0xffffffff),
		rowsOpen(ptr, n),
		rowsNext(99, room, size),
		rowsNext(0, room, size),
		rowsClose(1),
		rowsWrite(far, 64, ptr, n, room, size),
		rowsWrite(ptr, n, far, 64, room, size),
		rowsWrite(ptr, n, ptr, n, far, 64),
		rowsWrite(ptr, n, ptr, n, room, size),
		command(far, 1<<10, room, size),
		command(ptr, n, far, 64),
		command(ptr, n, room, size),
		pending(far, 64),
		taskReturn(far, 64),
		taskReturn(ptr, 0x7fffffff),
	} {
		codes = append(codes, abi.Result(res).Code().String())
	}
	log(99, far, 64)
	give([]byte(strings.Join(codes, " ")))
}
