import resource, sys, time, numpy as np, xbarsim as xb
resource.setrlimit(resource.RLIMIT_AS, (12*10**9,)*2)
c = xb.Crossbar(np.random.default_rng(0).uniform(1e-6,1e-5,(64,64)), wires=xb.Wires(r_wordline=1,r_bitline=1))
xb.solve(c, np.full((100,64),0.3))
n=10**7
v = np.empty((n,64)); v[:] = np.random.default_rng(1).uniform(0,.3,(1000,64)).repeat(n//1000,0)
t=time.time()
try:
    xb.solve(c, v)
except xb.XbarsimError as e: print(f"{time.time()-t:.2f} s", e)
v.flags.writeable=False
t=time.time(); s=xb.solve(c,v); print(f"{time.time()-t:.1f} s", s.i_bitline.shape)
k=np.array([0, 5_000_000, n-1]); d=xb.solve(c, v[k], method="nodes").i_bitline
print(np.abs(s.i_bitline[k]/d-1).max(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e6,"GB")
t=time.time()
try: s.i_wordline
except Exception as e: print(type(e).__name__, str(e)[:300])
print(f"{time.time()-t:.1f} s")
