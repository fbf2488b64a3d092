"""Management of the development broker over HTTP: the part of Solace's SEMP v2 that provisioning and monitoring use."""
