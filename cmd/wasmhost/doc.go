// Command wasmhost serves WebAssembly workers beside the databases they work
// on, and is how their operator talks to them.
//
// Everything here is flags and wiring: a command loads the configuration, does
// one thing with package host, and prints the outcome as text or, with --json,
// as JSON. What is asked for goes to standard output, everything else to
// standard error. The exit codes are listed in the help of the root command.
package main
