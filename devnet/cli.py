"""`minesync devnet`: the list of its commands; they live in `devnet/commands/`."""

from cyclopts import App

from devnet.commands import bundles, faults, files, lifecycle, play, snapshots, views, watching
from devnet.faults import FAULTS, resume, start
from node.outages import DISK_FULL, DROP_TOPIC

app = App(name="devnet", help="Networks of many nodes on this machine.")

_UNDO = {"kill": start, "stop": start, "pause": resume}
"""What takes back what was done to a node; `--for` does it after a while."""

for _name, _command in (
    ("up", lifecycle.up),
    ("run", play.run),
    ("down", lifecycle.down),
    ("status", views.status),
    ("top", watching.top),
    ("page", watching.page),
    ("logs", views.logs),
    ("exec", views.exec_command),
    ("env", views.env),
    ("wait", views.wait),
    ("check", views.check),
    ("load", play.load),
    ("add", lifecycle.add_command),
    ("rm", lifecycle.remove_command),
    ("restart", faults.restart_command),
    ("partition", faults.partition_command),
    ("heal", faults.heal_command),
    ("link", faults.link_command),
    ("clock", faults.clock_command),
    ("disconnect", faults.disconnect_command),
    ("bundle", bundles.bundle),
    ("reproduce", bundles.reproduce),
    ("demo", play.demo),
    ("schema", files.schema),
    ("gen", files.gen),
    ("manifests", files.manifests),
):
    app.command(_command, name=_name)

app.command(snapshots.app)

for _fault in FAULTS:
    _made = faults.make_deed_command(_fault.name, _fault.apply_to, _UNDO.get(_fault.name))
    app.command(_made, name=_fault.name, help=_fault.text)

for _name, _outage, _text in (
    ("drop-topic", DROP_TOPIC, "Let a peer neither hear nor tell gossip for a while."),
    ("disk-full", DISK_FULL, "Let a peer take its disk for full for a while."),
):
    app.command(faults.make_outage_command(_outage), name=_name, help=_text)
