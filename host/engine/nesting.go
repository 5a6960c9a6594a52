package engine

import "context"

// A guest can call a command that runs another guest, which can do the same.
// Each of them holds a sandbox, a thread and a stack while it waits, so their
// number is bounded. It travels in the context that an Env is given.
type nestingKey struct{}

// nesting returns how many guests wait for what is done with ctx.
func nesting(ctx context.Context) int {
	n, _ := ctx.Value(nestingKey{}).(int)
	return n
}

// nested returns the context of what one more guest waits for.
func nested(ctx context.Context) context.Context {
	return context.WithValue(ctx, nestingKey{}, nesting(ctx)+1)
}
