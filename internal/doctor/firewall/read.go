package firewall

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Read reads the rules of the network namespace that the calling thread is in.
// It needs CAP_NET_ADMIN there. The thread has to be locked.
func Read() Rules {
	var r Rules
	var nftErr, legacyErr error
	if hasNFTables() {
		r.tables, nftErr = readNFTables()
	}
	r.legacy, legacyErr = readLegacy()
	r.Err = errors.Join(nftErr, legacyErr)
	return r
}

// hasNFTables reports whether the kernel has nftables already: to ask it by
// netlink would load the module. Where that cannot be seen, it has them.
var hasNFTables = sync.OnceValue(func() bool {
	symbols, err := os.Open("/proc/kallsyms")
	if err != nil {
		return true
	}
	defer symbols.Close()
	lines := bufio.NewScanner(symbols)
	for lines.Scan() {
		if strings.Contains(lines.Text(), " nft_do_chain") {
			return true
		}
	}
	return lines.Err() != nil
})

func readNFTables() ([]table, error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open netlink to nftables: %w", err)
	}
	defer func() { _ = c.CloseLasting() }()
	tables, err := c.ListTables()
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("list tables of nftables: %w (needs CAP_NET_ADMIN)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("list tables of nftables: %w", err)
	}
	read := make([]table, 0, len(tables))
	for _, t := range tables {
		read = append(read, table{t.Family, t.Name, make(map[string]*chain), make(map[string]set)})
	}
	for n, t := range tables {
		if err := read[n].readSets(c, t); err != nil {
			return nil, err
		}
	}
	return read, readChains(c, read)
}

func (t table) readSets(c *nftables.Conn, of *nftables.Table) error {
	sets, err := c.GetSets(of)
	if err != nil {
		return fmt.Errorf("list sets of nftables: %w", err)
	}
	for _, s := range sets {
		elements, err := c.GetSetElements(s)
		if err != nil {
			return fmt.Errorf("list elements of set %s of nftables: %w", s.Name, err)
		}
		t.sets[s.Name] = newSet(s, elements)
	}
	return nil
}

func readChains(c *nftables.Conn, tables []table) error {
	chains, err := c.ListChains()
	if err != nil {
		return fmt.Errorf("list chains of nftables: %w", err)
	}
	devices, err := readDevices()
	if err != nil {
		return fmt.Errorf("list hooks of nftables: %w", err)
	}
	for _, from := range chains {
		to := &chain{name: from.Name, hook: from.Hooknum, devices: devices[chainKey{from.Table.Family, from.Table.Name, from.Name}], policy: nftables.ChainPolicyAccept}
		if from.Policy != nil {
			to.policy = *from.Policy
		}
		rules, err := c.GetRules(from.Table, from)
		if err != nil {
			return fmt.Errorf("list rules of chain %s of nftables: %w", from.Name, err)
		}
		for _, r := range rules {
			to.rules = append(to.rules, rule{r.Handle, r.Exprs})
		}
		for _, t := range tables {
			if t.family == from.Table.Family && t.name == from.Table.Name {
				t.chains[to.name] = to
			}
		}
	}
	return nil
}
