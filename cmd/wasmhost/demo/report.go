package demo

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/host/metrics"
)

// report prints the steps of the demo, each with the time that it took.
type report struct {
	out   io.Writer
	began time.Time
	last  time.Time
}

func newReport(out io.Writer) *report {
	now := time.Now()
	return &report{out: out, began: now, last: now}
}

const textWidth = 78

// step prints what has been done since the last step.
func (r *report) step(name, format string, args ...any) {
	now := time.Now()
	text := fmt.Sprintf(format, args...)
	pad := max(textWidth-len([]rune(text)), 1)
	fmt.Fprintf(r.out, "  %-10s %s%s%6.2f s\n", name, text, strings.Repeat(" ", pad), now.Sub(r.last).Seconds())
	r.last = now
}

// note prints a line that took no time of its own.
func (r *report) note(name, format string, args ...any) {
	fmt.Fprintf(r.out, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
}

// line prints a line as it is.
func (r *report) line(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// shares says where the time of a task went.
func shares(b metrics.Bill) string {
	if b.WallMS <= 0 {
		return "too short to measure"
	}
	part := func(ms float64) float64 { return math.Round(ms / b.WallMS * 100) }
	return fmt.Sprintf("guest %.0f %%, SQL %.0f %%, host %.0f %% of %.2f s", part(b.GuestMS), part(b.SQLMS), part(b.HostMS), b.WallMS/1000)
}

// thousands prints 90000 as 90,000.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size prints bytes for people.
func size(bytes int64) string {
	switch {
	case bytes >= 10<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d bytes", bytes)
}
