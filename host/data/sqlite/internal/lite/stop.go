package lite

import (
	"context"
	"sync/atomic"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	progressOps = 1000                  // steps of SQLite's machine between two looks at the flag, some 20 µs
	longestNap  = 10 * time.Millisecond // between two tries for a lock
	nagEvery    = 10 * time.Millisecond // sqlite3_interrupt is repeated: see package doc
)

// cell is what the callbacks of a connection see. It is SQLite's memory, as
// callbacks are given an address.
type cell struct {
	stop    int32 // 1: end the running statement, do not wait for locks
	shield  int32 // 1: statements are not to be ended
	timeout time.Duration
	waited  time.Duration // for the lock that is being waited for
	status  [2]int32      // where SQLite writes what it is asked for
}

func newCell(tls *libc.TLS, timeout time.Duration) (*cell, error) {
	p, err := malloc(tls, int(unsafe.Sizeof(cell{})))
	if err != nil {
		return nil, err
	}
	c := (*cell)(pointer(p))
	*c = cell{timeout: timeout}
	return c, nil
}

func (c *cell) address() uintptr { return uintptr(unsafe.Pointer(c)) }

func (c *cell) free(tls *libc.TLS) {
	if c != nil {
		sqlite3.Xsqlite3_free(tls, c.address())
	}
}

func (c *cell) install(tls *libc.TLS, db uintptr) {
	progress := struct {
		f func(*libc.TLS, uintptr) int32
	}{onProgress}
	busy := struct {
		f func(*libc.TLS, uintptr, int32) int32
	}{onBusy}
	sqlite3.Xsqlite3_progress_handler(tls, db, progressOps, *(*uintptr)(unsafe.Pointer(&progress)), c.address())
	sqlite3.Xsqlite3_busy_handler(tls, db, *(*uintptr)(unsafe.Pointer(&busy)), c.address())
}

// onProgress ends the statement by returning 1.
func onProgress(_ *libc.TLS, arg uintptr) int32 {
	c := (*cell)(pointer(arg))
	return atomic.LoadInt32(&c.stop) &^ atomic.LoadInt32(&c.shield)
}

// onBusy waits a little and returns 1, or gives up with 0: then the statement
// fails with SQLITE_BUSY.
func onBusy(_ *libc.TLS, arg uintptr, tries int32) int32 {
	c := (*cell)(pointer(arg))
	if tries == 0 {
		c.waited = 0
	}
	if atomic.LoadInt32(&c.stop) != 0 || c.waited >= c.timeout {
		return 0
	}
	nap := min(time.Millisecond<<min(tries, 10), longestNap, c.timeout-c.waited)
	time.Sleep(nap)
	c.waited += nap
	return 1
}

// Interrupt ends what runs on the connection: a statement fails with
// SQLITE_INTERRUPT, a wait for a lock with SQLITE_BUSY. It stays in effect
// until the next Watch. It may be called from any goroutine, and after Close.
func (c *Conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	atomic.StoreInt32(&c.cell.stop, 1)
	if atomic.LoadInt32(&c.cell.shield) != 0 {
		return
	}
	tls := libc.NewTLS() // the connection's own is in use by its goroutine
	sqlite3.Xsqlite3_interrupt(tls, c.db)
	tls.Close()
}

// Stopped says whether Interrupt was called since the last Watch.
func (c *Conn) Stopped() bool { return atomic.LoadInt32(&c.cell.stop) != 0 }

// Watch interrupts the connection when ctx ends, until release is called,
// which must happen before the next Watch. A statement that was active when
// ctx ended cannot be used further, even if no step of it failed: ask Stopped
// after release.
func (c *Conn) Watch(ctx context.Context) (release func()) {
	atomic.StoreInt32(&c.cell.stop, 0)
	if ctx.Done() == nil {
		return func() {}
	}
	if ctx.Err() != nil {
		c.Interrupt() // now, not when the goroutine below comes to it
	}
	over, ended := make(chan struct{}), make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(ended)
		again := time.NewTicker(nagEvery)
		defer again.Stop()
		for {
			c.Interrupt()
			select {
			case <-over:
				return
			case <-again.C:
			}
		}
	})
	return func() {
		close(over)
		if !cancel() {
			<-ended
		}
	}
}

// Shield runs f during which an interrupt ends waits for locks but no
// statement. A COMMIT needs it: interrupted at its last step it would report a
// failure and yet have happened.
func (c *Conn) Shield(f func() error) error {
	c.shield(1)
	defer c.shield(0)
	return f()
}

func (c *Conn) shield(on int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	atomic.StoreInt32(&c.cell.shield, on)
}
