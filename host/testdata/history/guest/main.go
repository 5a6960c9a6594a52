// Guest is package history as a module.
package main

import (
	"github.com/wasmhost/wasmhost/host/testdata/history"
	"github.com/wasmhost/wasmhost/sdk"
)

func init() { sdk.Register(sdk.WorkerFunc(history.Work)) }

func main() {}
