"""Batch norm folded into thresholds and constants."""

import numpy as np
import torch

from mapping.lower.plan import lower


def test_folding_is_exact(tiny):
    network, images = tiny
    layer, folded = network.layers[0], lower(network.graph())[0]
    x = torch.from_numpy(images)
    norm = layer.norm
    gain = (torch.sqrt(norm.running_var + norm.eps) / norm.weight.abs()).detach().numpy()[:, None, None]
    from mapping.networks.layers import weighted_input

    kernel = torch.from_numpy(folded.weights.reshape(4, 2, 3, 3)).double()
    plain = weighted_input(x, kernel, 2).numpy() + folded.constant[:, None, None]
    np.testing.assert_allclose(plain, layer(x[None])[0].detach().numpy() * gain, rtol=0, atol=1e-12)
    np.testing.assert_allclose(folded.activation.threshold, network.spec.threshold * gain)
