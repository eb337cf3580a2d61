"""What follows from a change of the controls: for the gate, the log level, and the lanes that wait or were left."""

from __future__ import annotations

from collections.abc import Callable

from consumers.admission.gate import CONTROLS_NOT_READ, STOPPED_BY_OPERATOR, Gate
from consumers.delivery.control_check import ControlCheck
from runtime.clock import Clock
from runtime.controls import ControlledLogLevel, Controls
from schemas.controls import Control, ControlKind, LogLevel

_LOOK_SECONDS = 1.0
_GATE_SOURCE = "controls"


class ControlEffects:
    """Applies the controls to a replica whenever they change, or end by themselves."""

    def __init__(
        self,
        controls: Controls,
        gate: Gate,
        check: ControlCheck,
        clock: Clock,
        *,
        reopen: Callable[[], None],
        set_log_level: Callable[[LogLevel | None], None],
    ) -> None:
        """*reopen* has records read again that were left in the log; *set_log_level* takes None for the settings'."""
        self._controls = controls
        self._gate = gate
        self._check = check
        self._clock = clock
        self._reopen = reopen
        self._log_level = ControlledLogLevel(controls, set_log_level)
        self._known: frozenset[Control] = frozenset()
        self._halt()

    @property
    def current(self) -> bool:
        """Return whether all controls are known."""
        return self._controls.current

    @property
    def in_force(self) -> tuple[Control, ...]:
        """Return what is in force, oldest first."""
        return self._controls.in_force(self._clock.now())

    def apply(self) -> None:
        """Apply the controls as they are now."""
        self._halt()
        self._log_level.apply(self._clock.now())
        known = self._known
        self._known = frozenset(
            one for one in self.in_force if one.kind in {ControlKind.SOURCE_HELD, ControlKind.CANCEL}
        )
        if self._known != known:
            self._check.interrupt()
            self._reopen()

    def _halt(self) -> None:
        if not self._controls.current:
            self._gate.halt_for(_GATE_SOURCE, CONTROLS_NOT_READ)
        elif self._controls.stopped:
            self._gate.halt_for(_GATE_SOURCE, STOPPED_BY_OPERATOR)
        else:
            self._gate.resume(_GATE_SOURCE)

    async def run(self) -> None:
        """Apply what ends by itself, until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            self.apply()
