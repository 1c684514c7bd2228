"""One LoRA training step with transformers + PEFT on random weights, timed; prints one JSON line.

Usage: peft_step.py CONFIG.json f32|bf16|autocast BATCH SEQ [STEPS]   (rank 8, all linear projections, AdamW, clip 1.0)
"""
import json, resource, sys, time
import torch, transformers
from transformers import AutoConfig, AutoModelForCausalLM
from peft import LoraConfig, get_peft_model
transformers.logging.set_verbosity_error(); torch.manual_seed(0)
path, dt, B, T = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]); steps = int(sys.argv[5]) if len(sys.argv) > 5 else 7
m = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path), attn_implementation="sdpa")
if dt == "bf16": m = m.bfloat16()
targets = ["c_attn", "c_proj", "c_fc"] if m.config.model_type == "gpt2" else "all-linear"
m = get_peft_model(m, LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM", fan_in_fan_out=m.config.model_type == "gpt2")); m.train()
ps = [p for p in m.parameters() if p.requires_grad]; opt = torch.optim.AdamW(ps, lr=1e-4)
ids = torch.randint(0, m.config.vocab_size, (B, T)); times = []
for i in range(steps):
    t = time.time()
    with torch.autocast("cpu", torch.bfloat16, enabled=dt == "autocast"): loss = m(input_ids=ids, labels=ids).loss
    loss.backward(); torch.nn.utils.clip_grad_norm_(ps, 1.0); opt.step(); opt.zero_grad(); times.append(time.time() - t)
s = sorted(times[2:])[len(times[2:]) // 2]
print(json.dumps({"peer": "peft " + dt, "trainable": sum(p.numel() for p in ps), "step_s": round(s, 4), "tokens_per_s": round(B * T / s, 1), "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
