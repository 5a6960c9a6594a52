package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/abi"
)

// version is what the program knows of itself.
type version struct {
	Version  string `json:"version"`            // of the module; "(devel)" when built from a checkout
	Revision string `json:"revision,omitempty"` // of the checkout
	Modified bool   `json:"modified"`           // the checkout had changes
	Contract int    `json:"contract"`           // between host and guest
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version",
		Long:              "Print the version of the program, of the contract with workers, and of Go.",
		Example:           "  wasmhost version\n  wasmhost version --json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			v := version{Version: "(devel)", Contract: abi.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				if info.Main.Version != "" {
					v.Version = info.Main.Version
				}
				for _, s := range info.Settings {
					switch s.Key {
					case "vcs.revision":
						v.Revision = s.Value
					case "vcs.modified":
						v.Modified = s.Value == "true"
					}
				}
			}
			if a.json {
				return a.printJSON(v)
			}
			a.say("wasmhost %s, contract %s, %s %s", v.Version, abi.Module, v.Go, v.Platform)
			if v.Revision != "" {
				changed := ""
				if v.Modified {
					changed = ", with changes"
				}
				a.say("revision %s%s", v.Revision, changed)
			}
			return nil
		},
	}
}
