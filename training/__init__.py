"""How a model learns: arguments, trainer, the whole job, a bare Accelerate loop."""
