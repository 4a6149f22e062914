"""Forward and backward of one batch, in the fastest way that works on the device at hand."""
import time

import torch
import torch.nn.functional as F


class Eager:
    """One batch after the other, every kernel started from Python."""

    def __init__(self, forward, parameters, smoothing, bf16, example):
        self.forward, self.parameters, self.smoothing, self.bf16 = forward, parameters, smoothing, bf16
        self.gradients = [None] * len(parameters)

    def loss_of(self, x, y):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            out = self.forward(x)
        return F.cross_entropy(out.float(), y, label_smoothing=self.smoothing)

    def __call__(self, x, y):
        """Leaves the gradients in the parameters. @returns the loss, on the device"""
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.loss_of(x, y)
        loss.backward()
        return loss.detach()


class Graph(Eager):
    """Forward and backward recorded once as a CUDA graph, so that the device never waits for Python."""

    def __init__(self, forward, parameters, smoothing, bf16, example):
        super().__init__(forward, parameters, smoothing, bf16, example)
        self.x, self.y = (part.clone() for part in example)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their kernels before the recording
                super().__call__(self.x, self.y)
        torch.cuda.current_stream().wait_stream(side)
        for parameter in parameters:
            parameter.grad = None
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.loss_of(self.x, self.y)
            self.loss.backward()
        self.gradients = [parameter.grad for parameter in parameters]

    def __call__(self, x, y):
        self.x.copy_(x)
        self.y.copy_(y)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients):
            parameter.grad = gradient  # that of the recording, written anew by each replay
        return self.loss.detach()


def compiled(base):
    """The same with the forward pass through torch.compile (a minute and more for these networks)."""

    def make(forward, *rest):
        return base(torch.compile(forward, dynamic=False), *rest)

    return make


def synchronise(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(step, example, device, warm, repeats):
    for _ in range(warm):
        step(*example)
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        step(*example)
    synchronise(device)
    return (time.perf_counter() - start) / repeats


def ways_on(device):
    """{name: constructor} of the ways that there are on a device, those to try by default first."""
    if device.type == "cuda":
        return {"graph": Graph, "eager": Eager, "compile+graph": compiled(Graph), "compile": compiled(Eager)}
    return {"eager": Eager, "compile": compiled(Eager)}


def gradients_of(forward, net, example):
    """In float32, of a few images: [all parameters]. bf16 would hide an error: there the gradients of a fresh
    DenseNet-201 are 0.2 apart (relative norm) when rounded in another order, in float32 1e-5."""
    parameters = list(net.parameters())
    Eager(forward, parameters, 0.0, False, example)(*(part[:32] for part in example))
    return torch.cat([p.grad.flatten() for p in parameters])


def fastest(names, forwards, net, smoothing, bf16, example, log):
    """Tries each way with each of the forward functions and keeps the fastest. One that fails is reported with its
    error and left out. The network's weights and statistics are afterwards what they were.

    @param names ways to try; None: the default of the device, and the next one only where that fails
    @param forwards {name: function of images}; all compute the same as `net`, which is checked
    @returns (name, step, seconds a batch)"""
    device = example[0].device
    ways, cuda = ways_on(device), device.type == "cuda"
    before = {k: v.clone() for k, v in net.state_dict().items()}
    best, expected = None, gradients_of(net, net, example) if len(forwards) > 1 else None
    for way in names or ways:
        if names is None and best is not None:
            break
        for label, forward in forwards.items():
            name, step, start = f"{way}, {label}", None, time.perf_counter()
            try:
                net.load_state_dict(before)
                error = 0.0
                if forward is not net:
                    error = ((gradients_of(forward, net, example) - expected).norm() / expected.norm()).item()
                if not error < 0.01:
                    raise ArithmeticError(f"its gradients are {error:.1e} from the plain ones")
                step = ways[way](forward, list(net.parameters()), smoothing, bf16, example)
                seconds = seconds_of(step, example, device, 2 if cuda else 0, 15 if cuda else 2)
                log(f"{name}: {1000 * seconds:.1f} ms a batch, ready after {time.perf_counter() - start:.0f} s")
                if best is None or seconds < best[2]:
                    best = (name, step, seconds)
            except Exception as problem:  # whatever a compiler or a driver throws: the next way is tried
                log(f"{name}: does not work here ({type(problem).__name__}: {(str(problem).splitlines() or [''])[0][:200]})")
    net.load_state_dict(before)
    if best is None:
        raise SystemExit("no way to train works here; try --ways eager, or --device cpu")
    return best
