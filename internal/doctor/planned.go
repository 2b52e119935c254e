package doctor

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// Planned returns what the memberships of a configuration file are about,
// without a daemon: a subject for each interface that their rules do not reject,
// as the interfaces are now. file is its name. here is the caller's network
// namespace; nil is that of the process.
func Planned(ctx context.Context, file string, memberships []membership.Membership, here Place) ([]Subject, error) {
	if here == nil {
		here = ownPlace
	}
	interfaces := make(map[string][]ifwatch.Interface)
	var subjects []Subject
	for _, m := range memberships {
		base := Subject{Entry: m.Name, File: file, Channels: m.Channels, Netns: m.Namespace}
		if _, known := interfaces[m.Namespace]; !known {
			place, _, err := FindPlace(m.Namespace, 0, here)
			if err != nil {
				subjects = append(subjects, base) // Run says why
				continue
			}
			if interfaces[m.Namespace], err = listInterfaces(ctx, place); err != nil {
				return nil, fmt.Errorf("list interfaces: %w", err)
			}
		}
		before := len(subjects)
		for _, i := range interfaces[m.Namespace] {
			if comesNear(m.Rules.Judge(base.families(), nil, i)) {
				s := base
				s.Interface, s.Index = i.Name, i.Index
				subjects = append(subjects, s)
			}
		}
		if len(subjects) == before {
			subjects = append(subjects, base)
		}
	}
	return subjects, nil
}

// listInterfaces returns the interfaces of a network namespace, as the daemon
// sees them.
func listInterfaces(ctx context.Context, place Place) ([]ifwatch.Interface, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := ifwatch.New(ifwatch.Options{Within: place})
	var group errgroup.Group
	group.Go(func() error {
		defer cancel()
		return w.Run(ctx)
	})
	var all []ifwatch.Interface
	select {
	case <-w.Changed():
		for _, c := range w.Take().Changes {
			if c.Now != nil {
				all = append(all, *c.Now)
			}
		}
	case <-ctx.Done():
	}
	cancel()
	return all, group.Wait()
}
