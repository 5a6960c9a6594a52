package engine

import (
	"crypto/rand"
	"io"
	mathrand "math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
)

// world is what a guest can learn of its surroundings without asking the host:
// the time, and random bytes. A nil world is the real one.
//
// Any other is made up, and the same each time: what a guest does in it depends
// on the guest alone. Its clock begins at a fixed day and moves on a little
// whenever it is looked at, so that a guest which waits for time to pass gets
// there.
type world struct {
	now    int64 // nanoseconds since 1970
	random *mathrand.ChaCha8
}

// newWorld returns a world in its first moment.
func newWorld() *world {
	return &world{
		now:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano(),
		random: mathrand.NewChaCha8([32]byte{}),
	}
}

func (w *world) configure(s *Sandbox, c wazero.ModuleConfig) wazero.ModuleConfig {
	if w == nil {
		return c.WithRandSource(bounded{s, rand.Reader}).WithSysWalltime().WithSysNanotime().WithNanosleep(s.sleep)
	}
	const resolution = sys.ClockResolution(1)
	return c.WithRandSource(bounded{s, w.random}).
		WithWalltime(func() (int64, int32) { t := w.tick(); return t / 1e9, int32(t % 1e9) }, resolution).
		WithNanotime(w.tick, resolution).
		WithNanosleep(func(ns int64) {
			s.stopIfOver()
			w.now += min(max(ns, 0), int64(time.Hour))
		})
}

func (w *world) tick() int64 {
	w.now += int64(time.Microsecond)
	return w.now
}

// sleep pauses the guest, no longer than its task may run.
func (s *Sandbox) sleep(ns int64) {
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.task.ctx.Done():
		panic(errStopped)
	}
}

// bounded gives the guest bytes from a source, no longer than its task may run.
type bounded struct {
	sandbox *Sandbox
	source  io.Reader
}

func (b bounded) Read(p []byte) (int, error) {
	b.sandbox.stopIfOver()
	return b.source.Read(p[:min(len(p), atOnce)])
}
