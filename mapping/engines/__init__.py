"""Engines: how images run through mapped layers; they count what happens, and price nothing."""
