"""Devices, processes and signals: a function for one device comes in, one for all devices goes out.

Everything that depends on how many machines there are is here, so that the step and the run read
as if there were one. It must not know what is computed.
"""
