"""An AWS on loopback that behaves as AWS documents it, and that can be told to misbehave.

`with Emulator() as aws:` starts one in a process of its own; see `hfplugin.emulator.client`. The rest of the
package is that process: moto below, EC2's and Auto Scaling's semantics on top, faults in front.
"""

from hfplugin.emulator.client import CREDENTIALS, IMAGE_ID, REGION, Emulator, EmulatorError, Machine

__all__ = ["CREDENTIALS", "IMAGE_ID", "REGION", "Emulator", "EmulatorError", "Machine"]
