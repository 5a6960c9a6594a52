package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/worker"
)

func addWait(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().DurationVar(wait, "wait", 30*time.Second, "how `long` to wait for the host; 0 for not at all")
}

// decisionTime is longer than a host takes to follow what an operator decided.
const decisionTime = 1500 * time.Millisecond

// sayVerdict waits for the verdict on a file, and says it.
func (a *app) sayVerdict(ctx context.Context, s *host.State, digest string, wait time.Duration) error {
	info, text, err := a.awaitVerdict(ctx, s, digest, wait)
	if err != nil {
		return err
	}
	return a.done(info, "%s", text)
}

// awaitVerdict waits until the host that runs, if one does, has looked at a file
// with this digest, and fails unless it is served. It returns what is known of it,
// and that in words.
func (a *app) awaitVerdict(ctx context.Context, s *host.State, digest string, wait time.Duration) (*worker.Info, string, error) {
	runs, err := s.HostRuns()
	if err != nil {
		return nil, "", err
	}
	begin, stale := time.Now(), worker.Info{}
	for first := true; ; first = false {
		infos, err := s.Workers(ctx)
		if err != nil {
			return nil, "", err
		}
		var found *worker.Info
		for i := range infos {
			if infos[i].Digest == digest {
				found = &infos[i]
			}
		}
		// One that the host has judged before may be judged anew.
		if first && found != nil && found.State != worker.Present {
			stale = *found
		}
		switch {
		case found == nil:
			return nil, "", abi.Errorf(abi.NotFound, "the file has been replaced meanwhile")
		case !runs || wait == 0:
			return found, fmt.Sprintf("Deployed %s, digest %.12s.", found.Name, digest), nil
		case found.State == worker.Ready && found.Serving == digest:
			return found, fmt.Sprintf("The host serves %s, digest %.12s.", found.Name, digest), nil
		case found.State != worker.Present && found.State != worker.Ready &&
			(found.State != stale.State || found.Reason != stale.Reason || time.Since(begin) > decisionTime):
			return nil, "", abi.Errorf(abi.Failed, "the host does not serve it, it is %s: %s", found.State, found.Reason)
		case time.Since(begin) > wait:
			return nil, "", &exitError{exitTimedOut, fmt.Errorf("the host has not looked at it within %v", wait)}
		}
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
