package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// The effective configuration, in the order in which it is written.
type (
	effective struct {
		Log         effectiveLog          `yaml:"log"`
		Control     effectiveControl      `yaml:"control"`
		Handoff     effectiveHandoff      `yaml:"handoff"`
		HTTP        effectiveHTTP         `yaml:"http"`
		StateDir    string                `yaml:"state_dir"`
		Pace        effectivePace         `yaml:"pace"`
		Audit       string                `yaml:"audit"`
		Hooks       []Hook                `yaml:"hooks,omitempty"`
		Memberships []effectiveMembership `yaml:"memberships"`
	}
	effectiveLog struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	}
	effectiveControl struct {
		Socket  string `yaml:"socket"`
		Mode    string `yaml:"mode"`
		Group   string `yaml:"group"`
		Readers string `yaml:"readers"`
	}
	effectiveHandoff struct {
		Socket string `yaml:"socket"`
		Mode   string `yaml:"mode"`
		Group  string `yaml:"group"`
		Limit  int    `yaml:"limit"`
	}
	effectiveHTTP struct {
		Listen string `yaml:"listen"`
		Status bool   `yaml:"status"`
	}
	effectivePace struct {
		JoinsPerSecond int `yaml:"joins_per_second"`
	}
	effectiveMembership struct {
		Name      string                 `yaml:"name"`
		Channels  []string               `yaml:"channels"`
		AnyRange  bool                   `yaml:"allow_any_range"`
		Netns     string                 `yaml:"netns"`
		Interface effectiveInterface     `yaml:"interface"`
		Attach    reattach.Attach        `yaml:"attach"`
		Ambiguous reattach.Ambiguous     `yaml:"ambiguous"`
		Require   []reattach.Requirement `yaml:"require,flow"`
		Reattach  effectiveReattach      `yaml:"reattach,flow"`
		OnChange  reattach.OnChange      `yaml:"on_change"`

		Reannounce effectiveReannounce `yaml:"reannounce,flow"`
		Monitor    effectiveMonitor    `yaml:"monitor,flow"`
		OnStall    []monitor.Action    `yaml:"on_stall,flow"`
	}
	effectiveInterface struct {
		Name         []string `yaml:"name,flow,omitempty"`
		Kind         []string `yaml:"kind,flow,omitempty"`
		LinkType     []string `yaml:"link_type,flow,omitempty"`
		MAC          []string `yaml:"mac,flow,omitempty"`
		PermanentMAC []string `yaml:"permanent_mac,flow,omitempty"`
		Device       []string `yaml:"device,flow,omitempty"`
		Parent       []string `yaml:"parent,flow,omitempty"`
		Master       []string `yaml:"master,flow,omitempty"`
		VLANID       []string `yaml:"vlan_id,flow,omitempty"`
		LinkGroup    []string `yaml:"link_group,flow,omitempty"`
		Alias        []string `yaml:"alias,flow,omitempty"`
		Subnet       []string `yaml:"subnet,flow,omitempty"`
	}
	effectiveReattach struct {
		Policy reattach.PolicyKind  `yaml:"policy"`
		Same   []reattach.Attribute `yaml:"same,flow,omitempty"`
		Settle string               `yaml:"settle"`
		Within string               `yaml:"within"`
		Limit  effectiveLimit       `yaml:"limit,flow"`
		When   string               `yaml:"when"`
	}
	effectiveReannounce struct {
		Carrier     bool   `yaml:"carrier"`
		NotifyPeers bool   `yaml:"notify_peers"`
		Address     bool   `yaml:"address"`
		Every       string `yaml:"every"`
	}
	effectiveMonitor struct {
		Port         uint16 `yaml:"port"`
		StalledAfter string `yaml:"stalled_after"`
		RTP          bool   `yaml:"rtp"`
		ClockRate    uint32 `yaml:"clock_rate"`
	}
	effectiveLimit struct {
		Count int    `yaml:"count"`
		Per   string `yaml:"per"`
	}
)

// YAML returns the effective configuration as a file, with every default
// spelled out and every channel on its own. Parse gives the same configuration
// again, but for its File. What many channels come to may be more than Load
// reads.
func (c Config) YAML() ([]byte, error) {
	texts := make(map[string]string)
	for _, s := range settings() {
		texts[s.path()] = s.get(c.Settings)
	}
	e := effective{
		Log: effectiveLog{Level: texts["log.level"], Format: texts["log.format"]},
		Control: effectiveControl{
			Socket: texts["control.socket"], Mode: texts["control.mode"], Group: texts["control.group"],
			Readers: texts["control.readers"],
		},
		Handoff:     effectiveHandoff{Socket: texts["handoff.socket"], Mode: texts["handoff.mode"], Group: texts["handoff.group"], Limit: c.Handoff.Limit},
		HTTP:        effectiveHTTP{Listen: texts["http.listen"], Status: c.HTTP.Status},
		StateDir:    texts["state_dir"],
		Pace:        effectivePace{c.Pace.JoinsPerSecond},
		Audit:       c.Audit.String(),
		Hooks:       c.Hooks,
		Memberships: make([]effectiveMembership, len(c.Memberships)),
	}
	for i, m := range c.Memberships {
		e.Memberships[i] = effectiveOf(m, c.Monitors[m.Name].Normalize())
	}
	return yaml.Marshal(e)
}

func effectiveOf(m membership.Membership, watch Monitor) effectiveMembership {
	rules := m.Rules.Normalize()
	e := effectiveMembership{
		Name:      m.Name,
		Channels:  make([]string, len(m.Channels)),
		AnyRange:  bool(m.AnyRange),
		Netns:     m.Namespace,
		Interface: effectiveInterfaceOf(rules.Selector),
		Attach:    rules.Attach,
		Ambiguous: rules.Ambiguous,
		Require:   rules.Require,
		Reattach:  effectiveReattachOf(rules),
		OnChange:  rules.OnChange,

		Reannounce: effectiveReannounceOf(m.Reannounce.Normalize()),
		Monitor:    effectiveMonitor{watch.Port, watch.StalledAfter.String(), watch.RTP, watch.ClockRate},
		OnStall:    append([]monitor.Action{}, watch.OnStall...),
	}
	for i, c := range m.Channels {
		e.Channels[i] = c.String()
	}
	return e
}

func effectiveReattachOf(r reattach.Rules) effectiveReattach {
	return effectiveReattach{
		Policy: r.Policy.Kind, Same: r.Policy.Same,
		Settle: r.Settle.String(), Within: r.Within.String(),
		Limit: effectiveLimit{Count: r.Limit.Count, Per: r.Limit.Per.String()},
		When:  r.When.String(),
	}
}

func effectiveReannounceOf(r membership.Reannounce) effectiveReannounce {
	return effectiveReannounce{
		Carrier:     slices.Contains(r.On, membership.OnCarrier),
		NotifyPeers: slices.Contains(r.On, membership.OnNotifyPeers),
		Address:     slices.Contains(r.On, membership.OnAddress),
		Every:       r.Every.String(),
	}
}

func effectiveInterfaceOf(s reattach.Selector) effectiveInterface {
	e := effectiveInterface{
		Name: s.Name, Kind: s.Kind, LinkType: s.LinkType,
		MAC: s.MAC, PermanentMAC: s.PermanentMAC, Device: s.Device,
		Parent: s.Parent, Master: s.Master,
		VLANID: s.VLANID, LinkGroup: s.LinkGroup, Alias: s.Alias,
	}
	for _, p := range s.Subnet {
		e.Subnet = append(e.Subnet, p.String())
	}
	return e
}
