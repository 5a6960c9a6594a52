//go:build !wasip1

package sdk

// Register names the module's worker. It is called once, from init, since main
// does not run in a guest.
//
// Outside of a guest there is no host that could call the worker, and Register
// only checks that there is one: a test gives it to sdktest directly.
func Register(w Worker) {
	if w == nil {
		panic("sdk: Register of a nil Worker")
	}
}
