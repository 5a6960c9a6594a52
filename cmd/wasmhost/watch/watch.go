// Package watch follows a task until it has ended and shows how far it is: as
// a bar on a terminal, as one line per change elsewhere.
package watch

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/wasmhost/wasmhost/host/queue"
)

// Tasks is where a task is looked up; [queue.Queue] is one.
type Tasks interface {
	Task(ctx context.Context, id string) (*queue.Record, error)
}

// Options say how to show a task. The zero value shows nothing.
type Options struct {
	Out      io.Writer // nil for nothing
	Terminal bool      // Out is a terminal: draw a bar
	Unit     string    // what the task counts; "steps" if empty
	Idle     string    // said once if nobody has taken the task up after idleAfter
}

const (
	pollEvery = 50 * time.Millisecond
	idleAfter = 3 * time.Second

	// lineEvery is the least time between two lines about progress, beside
	// those for each tenth of a known total.
	lineEvery = 10 * time.Second
)

// Task waits until the task has ended and returns how. When ctx ends first, it
// returns the task as it was seen last, and the cause; the task goes on.
func Task(ctx context.Context, tasks Tasks, id string, opts Options) (*queue.Record, error) {
	if opts.Unit == "" {
		opts.Unit = "steps"
	}
	var show display = silent{}
	switch {
	case opts.Out != nil && opts.Terminal:
		show = &bar{opts: opts}
	case opts.Out != nil:
		show = &lines{opts: opts}
	}
	began, hinted := time.Now(), opts.Idle == ""
	ticks := time.NewTicker(pollEvery)
	defer ticks.Stop()
	var last *queue.Record
	for {
		r, err := tasks.Task(ctx, id)
		if err != nil {
			show.end()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return last, err
		}
		last = r
		show.update(r)
		if r.State.Finished() {
			show.end()
			return r, nil
		}
		if !hinted && r.State == queue.Queued && time.Since(began) > idleAfter {
			show.say(opts.Idle)
			hinted = true
		}
		select {
		case <-ctx.Done():
			show.end()
			return last, context.Cause(ctx)
		case <-ticks.C:
		}
	}
}

// display shows successive states of one task.
type display interface {
	update(r *queue.Record)
	say(line string)
	end()
}

type silent struct{}

func (silent) update(*queue.Record) {}
func (silent) say(string)           {}
func (silent) end()                 {}

// lines prints one line per change.
type lines struct {
	opts    Options
	state   queue.State
	attempt int
	tenth   int64
	done    int64
	at      time.Time
}

func (l *lines) update(r *queue.Record) {
	changed := r.State != l.state || r.Attempt != l.attempt
	if r.State.Finished() {
		l.progress(r)
	}
	if changed {
		l.state, l.attempt, l.at = r.State, r.Attempt, time.Now()
		l.say(fmt.Sprintf("task %s %s%s", r.ID, r.State, Detail(r)))
	}
	l.progress(r)
}

// progress prints the progress if there is enough of it since the last line.
func (l *lines) progress(r *queue.Record) {
	if r.Done == l.done {
		return
	}
	tenth := int64(0)
	if r.Total > 0 {
		tenth = int64(float64(r.Done) / float64(r.Total) * 10)
	}
	if tenth == l.tenth && time.Since(l.at) < lineEvery {
		return
	}
	l.tenth, l.done, l.at = tenth, r.Done, time.Now()
	if r.Total > 0 {
		l.say(fmt.Sprintf("task %s %d of %d %s (%.0f %%)", r.ID, r.Done, r.Total, l.opts.Unit, float64(r.Done)/float64(r.Total)*100))
	} else {
		l.say(fmt.Sprintf("task %s %d %s", r.ID, r.Done, l.opts.Unit))
	}
}

func (l *lines) say(line string) { fmt.Fprintln(l.opts.Out, line) }
func (l *lines) end()            {}

// Detail says in a few words what the state alone does not: the attempt, when
// the next one is, why the last one failed.
func Detail(r *queue.Record) string {
	text := ""
	switch r.State {
	case queue.Running:
		text = fmt.Sprintf(", attempt %d of %d", r.Attempt, r.MaxAttempts)
	case queue.Scheduled, queue.Retrying:
		text = ", next attempt at " + r.ScheduledAt.Local().Format(time.DateTime)
	}
	if n := len(r.Errors); n > 0 && (r.State == queue.Retrying || r.State == queue.Dead) {
		text += fmt.Sprintf(": %s: %s", r.Errors[n-1].Code, r.Errors[n-1].Message)
	}
	return text
}

// bar draws a progress bar from when the task runs: a spinner until the total
// is known.
type bar struct {
	opts  Options
	bar   *progressbar.ProgressBar // nil before the task runs
	total int64
	state queue.State
}

func (b *bar) update(r *queue.Record) {
	if b.bar == nil && r.State != queue.Running && r.Done == 0 {
		return
	}
	total := r.Total
	if total <= 0 {
		total = -1 // unknown
	}
	switch {
	case b.bar == nil:
		b.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(b.opts.Out), progressbar.OptionUseANSICodes(true), progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(b.opts.Unit),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetTheme(progressbar.Theme{
				Saucer: "█", SaucerPadding: "░", BarStart: "▕", BarEnd: "▏",
			}),
			progressbar.OptionSetSpinnerChangeInterval(0), // or it would start a goroutine of its own
		)
	case b.total != total:
		b.bar.ChangeMax64(total)
	}
	b.total = total
	if r.State != b.state {
		b.state = r.State
		text := "task " + r.ID
		if r.State != queue.Running {
			text += " " + string(r.State)
		}
		b.bar.Describe(text)
	}
	done := r.Done
	if total > 0 {
		done = min(done, total)
	}
	_ = b.bar.Set64(done) // that it could not be drawn is no reason to fail
}

// say prints a line in place of the bar, which is drawn again below it.
func (b *bar) say(line string) {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
	fmt.Fprintln(b.opts.Out, line)
}

func (b *bar) end() {
	if b.bar != nil {
		_ = b.bar.Exit()
		fmt.Fprintln(b.opts.Out)
	}
}
