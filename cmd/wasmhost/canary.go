package main

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/worker"
)

// canaryFlags are those of deploy --canary.
type canaryFlags struct {
	tasks       int
	ignore      []string
	wait        time.Duration // for tasks
	yes, accept bool
}

func (f *canaryFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.tasks, "canary", 0, "first compare it with the version that is served, by so `many` of the next tasks")
	flags.StringSliceVar(&f.ignore, "ignore", nil, "columns, and keys of params and results, whose `names` make no difference (with --canary)")
	flags.DurationVar(&f.wait, "canary-wait", 10*time.Minute, "how `long` to wait for tasks (with --canary)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask: deploy it if all tasks were compared and none was different (with --canary)")
	flags.BoolVar(&f.accept, "accept-differences", false, "with --yes, deploy it even so")
	for _, flag := range []string{"canary", "ignore", "canary-wait"} {
		must(cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions))
	}
}

func (f *canaryFlags) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	for _, flag := range []string{"ignore", "canary-wait", "yes", "accept-differences"} {
		if given(flag) && !given("canary") {
			return usageError("--%s is for comparing: give --canary too", flag)
		}
	}
	if given("canary") && f.tasks < 1 || f.tasks > host.MaxCanaryTasks {
		return usageError("--canary %d: 1 to %d tasks", f.tasks, host.MaxCanaryTasks)
	}
	if f.accept && !f.yes {
		return usageError("--accept-differences is for --yes; without it you are asked")
	}
	return nil
}

// comparison is what deploy --canary prints as JSON.
type comparison struct {
	*host.Canary
	Deployed bool         `json:"deployed"`
	Host     *worker.Info `json:"worker_info,omitempty"` // what the host made of it, if it was deployed
}

// compareAndDeploy compares a module with what is served, and deploys it if that
// is wanted then.
func (a *app) compareAndDeploy(ctx context.Context, s *host.State, file, name string, f canaryFlags, wait time.Duration) (err error) {
	p, err := s.Propose(file, name, f.tasks, f.ignore)
	if err != nil {
		return err
	}
	defer func() {
		if closing := p.Close(); err == nil {
			err = closing
		}
	}()
	c, err := a.awaitCanary(ctx, p, f.wait)
	if err != nil {
		return err
	}
	if !a.json {
		a.printCanary(c)
	}
	result := comparison{Canary: c}
	if err := a.wanted(c, f); err != nil {
		if a.json {
			_ = a.printJSON(result) // the error says more
		}
		return err
	}
	digest, err := p.Deploy()
	if err != nil {
		return err
	}
	result.Deployed = true
	info, text, err := a.awaitVerdict(ctx, s, digest, wait)
	if err != nil {
		return err
	}
	result.Host = info
	return a.done(result, "%s", text)
}

// awaitCanary waits until a comparison is over, or has taken too long.
func (a *app) awaitCanary(ctx context.Context, p *host.Proposal, wait time.Duration) (*host.Canary, error) {
	var told *host.Canary
	for begin := time.Now(); ; {
		c, err := p.Report()
		if err != nil {
			return nil, err
		}
		if c != nil {
			if !a.json && c.State == host.CanaryComparing && (told == nil || told.Compared != c.Compared) {
				fmt.Fprintf(a.stderr, "%d of %d tasks compared\n", c.Compared, c.Wanted)
			}
			told = c
			if c.State != host.CanaryComparing {
				return c, nil
			}
		}
		if time.Since(begin) > wait {
			if c == nil {
				return nil, &exitError{exitTimedOut, fmt.Errorf("the host has not looked at it within %v; nothing was deployed", wait)}
			}
			c.Reason = fmt.Sprintf("no more tasks came within %v", wait)
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, &exitError{exitInterrupted, fmt.Errorf("interrupted: nothing was deployed")}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// wanted says whether a version is to be deployed after it was compared: nil if
// so.
func (a *app) wanted(c *host.Canary, f canaryFlags) error {
	switch {
	case c.State == host.CanaryRefused:
		return abi.Errorf(abi.Failed, "it cannot be compared: %s; nothing was deployed", c.Reason)
	case !f.yes:
		if a.confirm("Deploy it?") {
			return nil
		}
		return &exitError{exitFailed, fmt.Errorf("nothing was deployed; to say yes in a script, use --yes")}
	case f.accept && c.Compared > 0 || c.Equal():
		return nil
	case c.Different > 0:
		return &exitError{exitDiffers, fmt.Errorf("%d of %d tasks are different; nothing was deployed (--accept-differences deploys it even so)", c.Different, c.Compared)}
	}
	return &exitError{exitTimedOut, fmt.Errorf("%d of %d tasks were compared: %s; nothing was deployed", c.Compared, c.Wanted, c.Reason)}
}

func (a *app) printCanary(c *host.Canary) {
	if c.State == host.CanaryRefused {
		return // the error says why
	}
	a.say("%s beside %s", versionText("new", c.Version, c.Digest), versionText("old", c.AgainstVersion, c.Against))
	var rows []string
	for _, t := range c.Tasks {
		what := "equal"
		if len(t.Differences) > 0 {
			what = "different"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", t.ID, oneLine(t.Kind), what,
			pair(t.Old.Code, t.New.Code), pair(t.Old.RowsWritten, t.New.RowsWritten), pair(t.Old.Fuel, t.New.Fuel), pair(ms(t.Old.WallMS), ms(t.New.WallMS))))
	}
	if len(rows) > 0 {
		_ = a.table("TASK\tKIND\tIS\tOUTCOME\tROWS WRITTEN\tFUEL\tTIME", rows)
	}
	for _, t := range c.Tasks {
		if len(t.Differences) > 0 {
			a.say("\ntask %s", t.ID)
		}
		for _, d := range t.Differences {
			what := d.What
			if d.Of != "" {
				what += " " + d.Of
			}
			a.say("  %s", what)
			a.say("    old  %s", oneLine(d.Old))
			for _, text := range d.OldOnly {
				a.say("         %s", oneLine(string(text)))
			}
			a.say("    new  %s", oneLine(d.New))
			for _, text := range d.NewOnly {
				a.say("         %s", oneLine(string(text)))
			}
		}
	}
	a.say("\n%s", canarySummary(c))
}

func canarySummary(c *host.Canary) string {
	text := fmt.Sprintf("%d of %d tasks compared, %d different", c.Compared, c.Wanted, c.Different)
	if c.Skipped > 0 {
		text += fmt.Sprintf(", %d passed over that were cut off from outside", c.Skipped)
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text + "."
}

func versionText(which, version, digest string) string {
	if version != "" {
		version = " " + version
	}
	return fmt.Sprintf("%s%s (%.12s)", which, version, digest)
}

// oneLine is what a worker said as a person is to see it: short, and without what
// moves a terminal's cursor.
func oneLine(s string) string {
	return clip(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s), 160)
}

// pair is one value where two are the same.
func pair[T comparable](old, new T) string {
	if old == new {
		return fmt.Sprint(old)
	}
	return fmt.Sprintf("%v → %v", old, new)
}

func ms(n float64) string {
	return time.Duration(n * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
}
