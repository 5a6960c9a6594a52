package data

import "context"

type callerKey struct{}

// WithCaller returns a context that says on whose behalf a [Store] is used, by
// a worker's name: stores take callers in turn, so that one with many writes
// waiting does not keep out the others. It grants nothing.
func WithCaller(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callerKey{}, name)
}

// Caller returns the name given to [WithCaller], or "".
func Caller(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}
