package ui

import (
	"errors"
	"testing"

	"kith.internal/ipc"
)

// two is sample with a second network, work, in which this device is the owner.
func two() ipc.Status {
	st := sample()
	st.Networks = append(st.Networks, ipc.Network{
		Name: "work", Alias: "work", ID: "id-work", Active: true,
		Self: ipc.Self{Name: "laptop", FQDN: "laptop.work.internal", Role: ipc.RoleOwner},
	})
	return st
}

func (b *bench) settings() *settings { return b.pages["settings"].(*settings) }

// TestSwitchActsWhereItWasClicked: the network may be another before the click
// is carried out.
func TestSwitchActsWhereItWasClicked(t *testing.T) {
	b := newBench(t)
	b.take(two())
	b.openSettings("device")
	b.hold = true
	b.click("Shields up: nobody opens connections to this device")
	b.settings().network.SetSelectedIndex(1)
	b.release()
	b.did1("up id-home")
}

// TestSwitchUnderWay: a switch that was clicked stays so until the answer, also
// where news come before it, and cannot be clicked again.
func TestSwitchUnderWay(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.openSettings("device")
	d := b.settings().parts["device"].(*deviceSection)
	b.hold = true
	b.click("Shields up: nobody opens connections to this device")
	b.take(sample())
	if !d.shields.Checked || !d.shields.Disabled() {
		t.Errorf("checked %v, disabled %v while the service is asked", d.shields.Checked, d.shields.Disabled())
	}
	st := sample()
	st.May = nil
	b.take(st)
	b.fake.err = ipc.Errorf(ipc.CodePermission, "no")
	b.release()
	if d.shields.Checked || !d.shields.Disabled() {
		t.Errorf("checked %v, disabled %v after a refusal", d.shields.Checked, d.shields.Disabled())
	}
}

// TestSettingsKeepTheirNetwork while the service is away.
func TestSettingsKeepTheirNetwork(t *testing.T) {
	b := newBench(t)
	b.take(two())
	b.openSettings("rules")
	b.settings().network.SetSelectedIndex(1)
	r := b.settings().parts["rules"].(*rulesSection)
	r.edit.SetText("// mine")
	b.stop()
	b.take(two())
	if b.settings().net != "id-work" || r.edit.Text != "// mine" {
		t.Errorf("after a restart it is about %q, the editor has %q", b.settings().net, r.edit.Text)
	}
	b.take(sample())
	if b.settings().net != "id-home" {
		t.Error("a network that was left is still chosen")
	}
}

// TestSectionsWaitForTheState: a section that was opened before the service had
// told its state shows it as soon as it has.
func TestSectionsWaitForTheState(t *testing.T) {
	b := newBench(t)
	b.fake.policy = ipc.PolicyAnswer{Text: "{} // in force", SetBy: "nas"}
	b.openSettings("rules")
	b.unseen("This device is in no network yet.")
	b.take(sample())
	b.see("In force, set by nas.")
	if got := b.settings().parts["rules"].(*rulesSection).edit.Text; got != "{} // in force" {
		t.Errorf("the editor has %q", got)
	}

	for _, part := range []struct{ name, want string }{{"users", "anna"}, {"names", "printer.home.internal"}} {
		b := newBench(t)
		b.openSettings(part.name)
		b.unseen("Only an administrator")
		st := sample()
		st.May = []ipc.Right{ipc.RightOperate}
		b.take(st)
		st.May = append(st.May, ipc.RightMachine)
		b.take(st)
		b.see(part.want)
		b.unseen("Only an administrator")
		b.fake.err = ipc.Errorf(ipc.CodeUnreachable, "gone")
		b.stop()
		b.unseen(part.want)
		b.fake.err = nil
		b.take(st)
		b.see(part.want)
	}
}

// TestRulesAreOfTheirNetwork: an answer about one network says nothing of
// another that has been chosen meanwhile.
func TestRulesAreOfTheirNetwork(t *testing.T) {
	b := newBench(t)
	b.take(two())
	b.openSettings("rules")
	r := b.settings().parts["rules"].(*rulesSection)
	r.edit.SetText("{}")
	b.click("Check")
	b.hold = true
	b.click("Put in force")
	b.settings().network.SetSelectedIndex(1)
	b.release()
	b.unseen("In force now.")
	if r.loaded != "" || r.edit.Text != "" {
		t.Errorf("work has %q, loaded %q", r.edit.Text, r.loaded)
	}
}

// TestNamesAreOfTheirNetwork: rows of another network do not stay, and what they
// offer can follow what this account may.
func TestNamesAreOfTheirNetwork(t *testing.T) {
	b := newBench(t)
	b.take(two())
	b.openSettings("names")
	b.hold = true
	b.settings().network.SetSelectedIndex(1)
	b.unseen("printer.home.internal")
	b.fake.err = errors.New("no answer")
	b.release()
	b.unseen("printer.home.internal")
	b.see("The service could not do this.")

	b = newBench(t)
	st := sample()
	st.Networks[0].Self.Role = ipc.RolePlain
	b.take(st)
	b.openSettings("names")
	n := b.settings().parts["names"].(*namesSection)
	n.name.SetText("wiki")
	n.value.SetText("nas")
	n.value.OnSubmitted("")
	b.did1("")
	b.take(sample())
	b.click("Remove")
	b.did1("dns remove corp.example NS")
}
