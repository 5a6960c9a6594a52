package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules name time zones, on machines without any, too
)

// errSignal is the cause of a context that a signal has ended.
var errSignal = errors.New("interrupted")

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		signal.Stop(signals) // a second signal ends the process at once
		cancel(errSignal)
	}()
	os.Exit(Main(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// Main runs the command line args, which begin with the program's name, and
// returns its exit code. When ctx ends, so does whatever is running.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	a := &app{program: args[0], stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	root := a.root()
	root.SetArgs(args[1:])
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exit(ctx, root.ExecuteContext(ctx))
}
