package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command/socket"
)

func (a *app) execCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "exec NAME [JSON | @FILE | -]",
		Short: "Call a command of the running host",
		Long: `Call a command of the running host, as its operator, and print its result. The
params are a JSON object: as it stands, from a file, or from standard input (-).

The host must serve a socket for commands. In its configuration:

  [command]
  socket = "wasmhost.sock"

Exit codes: 4 if there is no such command, or it did not find what it was asked
for; 5 if --timeout is over before the reply.`,
		Example: `  wasmhost exec ping
  wasmhost exec commands/list
  wasmhost exec events/emit '{"event":"deploy:done","data":{"version":"1.4"}}'
  wasmhost exec tasks/submit @task.json --timeout 2s`,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeCommands(cmd)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usageError("--timeout %s: a duration above 0 is needed", timeout)
			}
			var params json.RawMessage
			if len(args) > 1 {
				var err error
				if params, err = a.payload(args[1]); err != nil {
					return err
				}
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			result, err := call(cmd.Context(), cfg, args[0], params, timeout)
			if err != nil {
				return err
			}
			return a.printResult(result)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 15*time.Second, "wait no longer than this `duration`")
	must(cmd.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions))
	return cmd
}

// call calls a command through the socket that the configuration names.
func call(ctx context.Context, cfg *config.Config, name string, params json.RawMessage, timeout time.Duration) (json.RawMessage, error) {
	path := cfg.Command.Socket
	if path == "" {
		return nil, usageError(`no socket for commands is configured: set command.socket, for example to "wasmhost.sock", and start the host again`)
	}
	waiting, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	result, err := socket.Call(waiting, path, name, params)
	switch {
	case errors.Is(err, errTimeout):
		return nil, &exitError{exitTimedOut, fmt.Errorf("no reply after %s: the command may have been carried out all the same", timeout)}
	case errors.Is(err, socket.ErrNoHost):
		return nil, fmt.Errorf("%w: start one with: wasmhost run; one that runs already was started with another command.socket", err)
	}
	return result, err
}

// printResult prints JSON as people read it; numbers stay as they are.
func (a *app) printResult(result json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(result))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return abi.Errorf(abi.Internal, "the host's reply: %w", err)
	}
	return a.printJSON(v)
}

// completeCommands offers the names of the running host's commands.
func (a *app) completeCommands(cmd *cobra.Command) ([]string, cobra.ShellCompDirective) {
	const patience = 2 * time.Second
	a.readFlags(cmd)
	var list struct{ Commands []string }
	cfg, err := a.config()
	if err == nil {
		var result json.RawMessage
		if result, err = call(cmd.Context(), cfg, abi.CommandListCommands, nil, patience); err == nil {
			err = json.Unmarshal(result, &list)
		}
	}
	if err != nil {
		cobra.CompErrorln(err.Error())
	}
	return list.Commands, cobra.ShellCompDirectiveNoFileComp
}
