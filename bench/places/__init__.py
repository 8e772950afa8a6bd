"""Where nodes live: processes on this machine, containers, hosts over SSH; and facts about the hardware."""
