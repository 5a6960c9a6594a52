package crash

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// A stop at a system call, as PTRACE_O_TRACESYSGOOD marks it.
	syscallStop = syscall.SIGTRAP | 0x80

	// A run takes less than a second, and more on a machine with other things to do.
	longest = 5 * time.Minute
)

// kinds are the system calls by which SQLite changes files. Others are found
// out by what they do: a recording must give the bytes that are on disk.
var kinds = map[uint64]kind{
	unix.SYS_PWRITE64:  writes,
	unix.SYS_FTRUNCATE: truncates,
	unix.SYS_UNLINKAT:  unlinks,
	unix.SYS_FSYNC:     syncs,
	unix.SYS_FDATASYNC: syncs,
}

// moreKinds are those by which other files are changed.
var moreKinds = map[uint64]kind{
	unix.SYS_WRITE:     writes,
	unix.SYS_RENAMEAT:  renames,
	unix.SYS_RENAMEAT2: renames,
}

// kindOf is the kind of a system call.
func kindOf(nr uint64) kind {
	if k, ok := kinds[nr]; ok {
		return k
	}
	return moreKinds[nr]
}

// syscallInfo is the kernel's ptrace_syscall_info: the same on every
// architecture.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	nr     uint64 // at exit: what the call returned
	args   [6]uint64
	_      uint64
}

// tracer follows one process.
type tracer struct {
	pid     int
	program program
	kill    *moment
	run     *run
	seen    map[kind]int // calls that began
	open    map[int]call // by thread: calls that began and have not ended
	last    int          // the thread behind whose call the process is killed
	threads map[int]bool // threads that were seen
}

// trace runs a program and records what it does to the databases below its
// folder. If kill is not nil the program is killed at that moment, unless it
// ended before.
func trace(p program, kill *moment) (*run, error) {
	// The thread that starts the program is the only one that may trace it. It
	// is not given back, and ends with the goroutine.
	done := make(chan error)
	t := &tracer{program: p, kill: kill, run: &run{}, seen: map[kind]int{}, open: map[int]call{}, threads: map[int]bool{}}
	go func() {
		runtime.LockOSThread()
		done <- t.start(p)
	}()
	if err := <-done; err != nil {
		return nil, fmt.Errorf("tracing %s: %w", filepath.Base(p.argv[0]), err)
	}
	return t.run, nil
}

func (t *tracer) start(p program) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	filter := databaseCalls
	if p.files != nil {
		filter = allCalls
	}
	stderr, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stderr.Close()
	process, err := os.StartProcess(self, p.argv, &os.ProcAttr{
		Dir: p.dir, Env: append([]string{filterEnv + "=" + filter}, p.env...), Files: []*os.File{nil, nil, w},
		// A group of its own is what wait4 can wait for without taking other
		// children of this program.
		Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	w.Close()
	if err != nil {
		return err
	}
	defer process.Release()
	t.pid = process.Pid
	late := time.AfterFunc(longest, func() { _ = process.Kill() })
	defer late.Stop()
	var log bytes.Buffer
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if p.heard != nil {
				p.heard(lines.Text())
			}
			if p.until != "" && strings.Contains(lines.Text(), p.until) {
				_ = process.Signal(os.Interrupt)
			}
		}
	}()
	err = t.follow()
	if err != nil {
		_ = process.Kill() // and so does the end of this thread
	}
	<-logged
	t.run.log = log.String()
	if err == nil && t.run.signal != 0 && !t.run.killed {
		return fmt.Errorf("ended by %v, of itself or after %v:\n%s", t.run.signal, longest, &log)
	}
	return err
}

// follow waits for whatever the process does next, until it has ended.
func (t *tracer) follow() error {
	var status syscall.WaitStatus
	if _, err := wait(t.pid, &status); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(t.pid, options); err != nil {
		return err
	}
	t.threads[t.pid] = true
	if err := syscall.PtraceCont(t.pid, 0); err != nil {
		return err
	}
	for {
		tid, err := wait(-t.pid, &status)
		if err != nil {
			return err
		}
		if status.Exited() || status.Signaled() {
			if tid != t.pid {
				continue // the first thread is reported when no other is left
			}
			for _, c := range t.open {
				t.run.open = append(t.run.open, c)
			}
			t.run.exit = status.ExitStatus()
			if status.Signaled() {
				t.run.signal = status.Signal()
			}
			return nil
		}
		deliver := 0
		switch sig := status.StopSignal(); {
		case status.TrapCause() == unix.PTRACE_EVENT_SECCOMP:
			err = t.begin(tid)
		case sig == syscallStop:
			err = t.end(tid)
		case status.TrapCause() > 0: // a thread was made, or the program begins
		case sig == syscall.SIGSTOP && !t.threads[tid]: // so new threads begin
			t.threads[tid] = true
		default:
			deliver = int(sig)
		}
		if err == nil {
			resume := syscall.PtraceCont
			if _, ok := t.open[tid]; ok {
				resume = syscall.PtraceSyscall // stops where the call ends
			}
			err = resume(tid, deliver)
		}
		// Threads may go in the midst of this, as when the process is killed.
		if err != nil && !t.run.killed && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
}

func wait(pid int, status *syscall.WaitStatus) (int, error) {
	for {
		tid, err := syscall.Wait4(pid, status, syscall.WALL, nil)
		if err != syscall.EINTR {
			return tid, err
		}
	}
}

// info tells of the system call that a thread stopped in.
func info(tid int) (i syscallInfo, err error) {
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), unsafe.Sizeof(i), uintptr(unsafe.Pointer(&i)), 0, 0)
	if errno != 0 {
		err = errno
	}
	return i, err
}

// begin looks at a call that is about to be made.
func (t *tracer) begin(tid int) error {
	info, err := info(tid)
	if err != nil {
		return err
	}
	k := kindOf(info.nr)
	c := call{kind: k, began: len(t.run.calls)}
	var path string
	switch {
	case info.nr == unix.SYS_UNLINKAT:
		path, err = text(tid, info.args[1])
	case info.nr == unix.SYS_RENAMEAT || info.nr == unix.SYS_RENAMEAT2:
		path, err = text(tid, info.args[3])
	case k == unlinks:
		path, err = text(tid, info.args[0])
	default:
		path, err = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(info.args[0])))
	}
	if err != nil {
		return fmt.Errorf("the file of a %s: %w", k, err)
	}
	var ok bool
	if c.file, ok = t.program.recorded(path, k); !ok {
		return nil
	}
	switch k {
	case writes:
		c.at, c.off = uintptr(info.args[1]), int64(info.args[3])
	case truncates:
		c.off = int64(info.args[1])
	}
	t.open[tid] = c
	t.seen[k.point()]++
	if t.kill == nil || t.run.killed || k.point() != t.kill.kind || t.seen[k.point()] != t.kill.n {
		return nil
	}
	if t.kill.after {
		t.last = tid
		return nil
	}
	delete(t.open, tid) // the kernel does not let a thread with this signal make the call
	return t.sigkill()
}

// end notes a call that was made.
func (t *tracer) end(tid int) error {
	info, err := info(tid)
	if err != nil {
		return err
	}
	c := t.open[tid]
	if result := int64(info.nr); result >= 0 {
		if c.kind == writes && result > 0 {
			c.data = make([]byte, result)
			local := []unix.Iovec{{Base: &c.data[0]}}
			local[0].SetLen(len(c.data))
			n, err := unix.ProcessVMReadv(tid, local, []unix.RemoteIovec{{Base: c.at, Len: len(c.data)}}, 0)
			if err == nil && n != len(c.data) {
				err = fmt.Errorf("%d of %d bytes", n, len(c.data))
			}
			if err != nil {
				return fmt.Errorf("reading what was written: %w", err)
			}
		}
		t.run.calls = append(t.run.calls, c)
	}
	delete(t.open, tid)
	if t.last == tid {
		t.last = 0
		return t.sigkill()
	}
	return nil
}

func (t *tracer) sigkill() error {
	t.run.killed = true
	return syscall.Kill(t.pid, syscall.SIGKILL)
}

// filterEnv makes the test's binary set a filter and become another program.
const filterEnv = "WASMHOST_CRASH_FILTER"

// Its values: which calls are reported.
const (
	databaseCalls = "kinds"
	allCalls      = "kinds and moreKinds"
)

// filtered becomes the program that the arguments name. The kernel reports no
// other calls of it than those in kinds: to stop at all would make it some
// times slower.
func filtered() error {
	runtime.LockOSThread()
	load := unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS} // the number of the call
	filter := []unix.SockFilter{load}
	reported := maps.Clone(kinds)
	if os.Getenv(filterEnv) == allCalls {
		maps.Copy(reported, moreKinds)
	}
	for nr := range reported {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_TRACE})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return fmt.Errorf("setting a filter of system calls: %w", err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, filterEnv+"=") })
	return syscall.Exec(os.Args[0], os.Args, env)
}

// text reads a string that ends with a zero byte.
func text(tid int, at uint64) (string, error) {
	var s []byte
	for word := make([]byte, 8); ; at += 8 {
		if _, err := syscall.PtracePeekData(tid, uintptr(at), word); err != nil {
			return "", err
		}
		if i := bytes.IndexByte(word, 0); i >= 0 {
			return string(append(s, word[:i]...)), nil
		}
		s = append(s, word...)
	}
}
