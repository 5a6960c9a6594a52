package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
)

// app is one run of the program: where it reads and writes, and its global
// flags.
type app struct {
	program        string
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string

	file  string // --config
	json  bool   // --json
	flags struct {
		stateDir, workersDir, logLevel, logFormat string
	}
	given   map[string]string // dotted key to the value of a flag that was given
	started bool              // the command line was understood
}

const rootLong = `wasmhost runs compiled WebAssembly workers right beside the data they work on.

A worker is a .wasm file in the workers' folder. It takes tasks from a durable
queue, reads and writes the databases it was granted, and can call the commands
it was granted. Nothing else gets out of its sandbox.

All commands but run and demo can be used beside a running host: they work on
the host's own database in the state folder. Only exec needs one, and talks to it.

The configuration comes from wasmhost.toml (or --config, or WASMHOST_CONFIG),
from environment variables such as WASMHOST_LOG__LEVEL, and from the flags
below, each overriding the one before it; see: wasmhost config show.

Exit codes:
    0   done
    1   failed
    2   the command line or the configuration is wrong
    3   the task failed for good or was cancelled (submit --wait)
    4   there is no such task, worker or command, or no host's state in the folder
    5   the time that was given for waiting is over; the task goes on
    6   the versions differ, and the new one was not deployed (deploy --canary --yes)
  130   interrupted`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "wasmhost",
		Short: "Run sandboxed WebAssembly workers beside the data",
		Long:  rootLong,
		Example: `  wasmhost demo
  wasmhost run
  wasmhost submit archive '{"collection":"chat_messages","keep":10000}' --wait`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			a.started = true
			a.readFlags(cmd)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.file, "config", "", "configuration `file` (default wasmhost.toml, if there is one)")
	f.StringVar(&a.flags.stateDir, "state-dir", "", "`folder` of the host's own database (default wasmhost-state)")
	f.StringVar(&a.flags.workersDir, "workers-dir", "", "`folder` of the workers' .wasm files (default workers)")
	f.StringVar(&a.flags.logLevel, "log-level", "", "debug, info, warn or error (default info; warn where nothing is served)")
	f.StringVar(&a.flags.logFormat, "log-format", "", "text or json (default text)")
	f.BoolVar(&a.json, "json", false, "print JSON")
	for flag, values := range map[string][]string{"log-level": {"debug", "info", "warn", "error"}, "log-format": {"text", "json"}} {
		must(root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	for _, flag := range []string{"state-dir", "workers-dir"} {
		must(root.MarkPersistentFlagDirname(flag))
	}
	must(root.MarkPersistentFlagFilename("config", "toml"))
	root.AddCommand(a.runCommand(), a.submitCommand(), a.tasksCommand(), a.schedulesCommand(), a.eventsCommand(), a.execCommand(),
		a.workersCommand(), a.allowCommand(), a.revokeCommand(), a.deployCommand(), a.rollbackCommand(), a.pinCommand(), a.unpinCommand(),
		a.configCommand(), a.demoCommand(), a.versionCommand())
	return root
}

// must is for cobra's errors about flags that do not exist, which are mistakes
// in this package.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// readFlags notes which of the flags that set configuration were given.
func (a *app) readFlags(cmd *cobra.Command) {
	a.given = map[string]string{}
	for key, value := range map[string]string{
		"state_dir": a.flags.stateDir, "workers_dir": a.flags.workersDir,
		"log.level": a.flags.logLevel, "log.format": a.flags.logFormat,
	} {
		if f := cmd.Flag(config.FlagName(key)[len("--"):]); f != nil && f.Changed {
			a.given[key] = value
		}
	}
}

// config loads the configuration.
func (a *app) config() (*config.Config, error) {
	return config.Load(config.Options{File: a.file, Env: a.env, Flags: a.given})
}

// logger returns the log of a command. One that serves nothing says only what
// is wrong, unless --log-level asks for more.
func (a *app) logger(cfg *config.Config, serves bool) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[cfg.Log.Level]
	if _, asked := a.given["log.level"]; !serves && !asked {
		level = max(level, slog.LevelWarn)
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(a.stderr, opts))
}

// withState runs a function on the host's database. Unless create is set, the
// state folder must be there: looking into it must not make one.
func (a *app) withState(ctx context.Context, create bool, do func(*host.State, *config.Config) error) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.StateDir); errors.Is(err, fs.ErrNotExist) && !create {
		return abi.Errorf(abi.NotFound, "there is no state folder %s: no host has run here; name its configuration with --config, or the folder with --state-dir", cfg.StateDir)
	}
	state, err := host.OpenState(ctx, cfg, a.logger(cfg, false))
	if err != nil {
		return err
	}
	defer func() {
		if closing := state.Close(); err == nil && closing != nil {
			err = fmt.Errorf("closing the host's database: %w", closing)
		}
	}()
	return do(state, cfg)
}

// printJSON prints a value as an indented document.
func (a *app) printJSON(value any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// printLine prints a value as one line of JSON.
func (a *app) printLine(value any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// say prints a line for people.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }

// table prints rows in columns; each row is one string with tabs.
func (a *app) table(header string, rows []string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, header)
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	return w.Flush()
}

// isTerminal says whether a person is looking.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
