"""jaxsim: learns how two pieces of music are alike, in each of several similarity dimensions."""
