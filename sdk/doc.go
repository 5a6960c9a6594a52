// Package sdk is what a worker in Go is written with.
//
// A worker is a [Worker] that a main package hands to [Register] from init:
//
//	func init() { sdk.Register(sdk.WorkerFunc(work)) }
//
//	func main() {}
//
//	func work(t *sdk.Task) error {
//		collection, err := t.Payload.String("collection")
//		if err != nil {
//			return err
//		}
//		n, err := t.Data.CountRows(abi.Query{Handle: t.Handle("source", "primary"), Collection: collection})
//		if err != nil {
//			return err
//		}
//		return t.Return(map[string]any{"rows": n})
//	}
//
// and that is built with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w"
//
// The same code runs natively under go test with package sdk/sdktest: what a
// worker reaches the host through is the [Host] that its Task carries, and
// nothing is kept in package variables outside of a guest.
//
// # Life of a task
//
// The host writes the task into the sandbox and calls the worker once. What
// the worker returns decides how the task ends:
//
//   - nil: the task is completed, with the result given to [Task.Return];
//   - an error made by [Permanent] or [Later]: dead at once, or run again later;
//   - an error that wraps an [abi.Error], as every failed call of this package
//     does: ended with that error's code;
//   - any other error: [abi.Failed], to be tried again.
//
// A panic of the worker is caught once to hand over its text and the first
// lines of its stack. The code is then [abi.Trap], so that the host throws the
// sandbox away: after a panic nobody knows what state the guest is in. A panic
// in a goroutine that the worker started cannot be caught, and traps.
//
// Writes are durable when the call that made them returns. A task may be cut
// off between any two calls and delivered again, so a worker must be able to
// find out what is done already.
//
// # Memory
//
// Buffers for requests and answers belong to the task and are used again by
// the next call. Bytes that a method returns say in its comment how long they
// are valid. None of the types is safe for concurrent use.
//
// Rows are never decoded by reflection: [Rows] decodes the columns that are
// asked for, and [Batches] hands out whole batches to be forwarded as they are.
package sdk
